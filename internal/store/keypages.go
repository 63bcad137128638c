package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// keyPages reads the keys of a bucket in order, a part at a time: as many as a
// server tells at once. Like bucketKeys it needs the permission to read
// the stream's state, and no consumer. Not safe for concurrent use.
type keyPages struct {
	js     jetstream.JetStream
	bucket string
	under  string // wildcards as in subjects
	places *keyPlaces

	offset int // of the part that was read last, among all keys
}

const keysAtOnce = 100_000 // server.JSMaxSubjectDetails

// keyPlaces remembers in which parts pages of lists have ended, so that whoever asks
// for the next page reads no part before it. What it says may be out of date, or
// forgotten: then more parts are read. Safe for concurrent use.
type keyPlaces struct {
	mu      sync.Mutex
	offsets map[keyPlace]int
}

type keyPlace struct{ bucket, under, key string }

const keyPlacesKept = 256

func (p *keyPlaces) of(place keyPlace) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offsets[place]
}

func (p *keyPlaces) keep(place keyPlace, offset int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.offsets == nil || len(p.offsets) >= keyPlacesKept {
		p.offsets = map[keyPlace]int{}
	}
	p.offsets[place] = offset
}

// ended: the list will go on after this key, which the part that was read last holds.
func (k *keyPages) ended(key string) {
	if k.offset > 0 {
		k.places.keep(keyPlace{k.bucket, k.under, key}, k.offset)
	}
}

// next returns keys after the given one, in order, those of deleted entries
// included and fences left out, and whether there are more behind them. There are
// none only at the end. protocol.ErrNotFound if there is no such bucket.
func (k *keyPages) next(ctx context.Context, after string) (keys []string, more bool, err error) {
	if k.offset == 0 {
		k.offset = k.places.of(keyPlace{k.bucket, k.under, after})
	}
	for {
		part, end, err := k.read(ctx)
		if err != nil {
			return nil, false, err
		}
		if k.offset > 0 && (len(part) == 0 || part[0] > after) { // keys before it have gone meanwhile
			k.offset = max(0, k.offset-keysAtOnce)
			continue
		}
		at, found := slices.BinarySearch(part, after)
		if found {
			at++
		}
		last := len(part) - 1
		keys = slices.DeleteFunc(part[at:], func(key string) bool { return strings.HasPrefix(key, fencePrefix) })
		if end || len(keys) > 0 {
			return keys, !end, nil
		}
		k.offset += last // it has to be seen again: else some may have gone before it
	}
}

// read reads the part at the offset, sorted; end: it is the last one.
func (k *keyPages) read(ctx context.Context) (part []string, end bool, err error) {
	fail := func(err error) ([]string, bool, error) {
		return nil, false, fmt.Errorf("list bucket %q: %w", k.bucket, err)
	}
	body, err := json.Marshal(struct {
		Filter string `json:"subjects_filter"`
		Offset int    `json:"offset,omitempty"`
	}{storedSubject(k.under), k.offset})
	if err != nil {
		return fail(err)
	}
	reply, err := k.js.Conn().RequestWithContext(ctx, msgget.APIPrefix(k.js)+"STREAM.INFO."+bucketStream(k.bucket), body)
	if err != nil {
		return fail(err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Total int                 `json:"total"`
		State struct {
			Subjects map[string]json.RawMessage `json:"subjects"`
		} `json:"state"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fail(err)
	}
	if e := answer.Error; e != nil {
		if e.ErrorCode == jetstream.JSErrCodeStreamNotFound {
			return fail(protocol.ErrNotFound)
		}
		return fail(e)
	}
	part = make([]string, 0, len(answer.State.Subjects))
	for subject := range answer.State.Subjects {
		part = append(part, keyOf(subject))
	}
	slices.Sort(part)
	return part, len(part) < 2 || k.offset+len(part) >= answer.Total, nil
}
