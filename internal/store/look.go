package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
)

// A Look at what is on the bus, every few seconds while the bridge runs: others
// edit, delete and restore streams, and servers are replaced by empty ones.
//
// What is absent is recreated where that helps: the bridge's own streams and
// buckets at once. The stream of the events and the bucket of the records are
// the user's: an empty one in their place would be in the way of a restore, and
// would take the records out of force. They are made only when everything else
// of the bridge's is gone or new as well, which is what an empty server looks
// like: there a bridge starts as it does for the first time.

// assetWatch looks again and again, and remembers what it saw.
type assetWatch struct {
	js   jetstream.JetStream
	o    Options
	seen map[string]jetstream.StreamInfo // at the last look, by stream
	gone map[string]time.Time            // absent since
	made map[string]time.Time            // creation, when all were there for the last time

	mute map[string]time.Time // optional ones that nobody answers for, since

	beside []Finding // other bridges, as of looked
	looked time.Time
}

// newAssetWatch looks at what Ensure has made under the same options.
func newAssetWatch(js jetstream.JetStream, o Options) *assetWatch {
	return &assetWatch{js: js, o: o, seen: map[string]jetstream.StreamInfo{}, gone: map[string]time.Time{},
		mute: map[string]time.Time{}}
}

// sighting is what a look has found.
type sighting struct {
	Standing []Finding // what is wrong now: errors, what is absent, and as warnings what works and is hardly meant
	News     []Finding // what has changed or been made since the last look; to be told once
	losing   string    // why the source stream deletes what is owed; "" if it does not
}

// Look reads the configuration of all streams and buckets, tells what does not
// fit or has changed, and makes what is absent and may be made. The error says
// that the bus could not be asked.
func (w *assetWatch) Look(ctx context.Context) (sighting, error) {
	e := ensurer{js: w.js, o: w.o, n: w.o.Names()}
	assets := e.assets()
	var sight sighting
	var absent []asset
	infos := map[string]jetstream.StreamInfo{}
	for _, a := range assets {
		if time.Since(w.mute[a.config.Name]) < limits.AuditMuteTime {
			continue
		}
		info, err := w.info(ctx, a.config.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			absent = append(absent, a)
			continue
		}
		if err != nil && a.optional && ctx.Err() == nil && w.seen[a.config.Name].Created.IsZero() {
			w.mute[a.config.Name] = time.Now() // it could not be asked for at the start either: a permission is missing
			continue
		}
		if err != nil {
			return sight, fmt.Errorf("read %s: %w", a.what, err)
		}
		infos[a.config.Name] = *info
		sight.Standing = append(sight.Standing, errorsOf(a.check(info))...)
		if old, ok := w.seen[a.config.Name]; ok {
			sight.News = append(sight.News, changes(a, &old, info)...)
		}
		if a.config.Name == e.n.Stream {
			sight.losing = losing(info.Config)
		}
	}
	w.note(assets, infos)
	if _, there := infos[e.n.Stream]; there && time.Since(w.looked) >= limits.RivalCheck {
		beside, err := w.rivals(ctx, e.n)
		if err != nil {
			return sight, fmt.Errorf("look for other bridges: %w", err)
		}
		w.beside, w.looked = beside, time.Now()
	}
	sight.Standing = append(sight.Standing, w.beside...)
	if len(absent) > 0 {
		if err := w.mend(ctx, &e, absent, infos, &sight); err != nil {
			return sight, err
		}
	}
	return sight, nil
}

func (w *assetWatch) info(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	s, err := w.js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	return s.CachedInfo(), nil
}

func (w *assetWatch) note(assets []asset, infos map[string]jetstream.StreamInfo) {
	for _, a := range assets {
		info, there := infos[a.config.Name]
		switch since := w.gone[a.config.Name]; {
		case there:
			w.seen[a.config.Name] = info
			delete(w.gone, a.config.Name)
		case since.IsZero():
			w.gone[a.config.Name] = time.Now()
		}
	}
	if len(infos) == len(assets) || w.made == nil {
		w.made = map[string]time.Time{}
		for name, info := range infos {
			w.made[name] = info.Created
		}
	}
}

// mend makes what is absent and may be made, and says what is not.
func (w *assetWatch) mend(ctx context.Context, e *ensurer, absent []asset, infos map[string]jetstream.StreamInfo,
	sight *sighting) error {
	empty := w.empty(e.assets(), infos)
	asked := false
	for _, a := range absent {
		since := time.Since(w.gone[a.config.Name])
		if a.users && !(empty && since >= limits.AbsentTime) {
			sight.Standing = append(sight.Standing, Finding{Error, a.what, w.lacks(a)})
			continue
		}
		if a.optional && w.seen[a.config.Name].Created.IsZero() {
			continue // it could not be made at the start either
		}
		if !asked {
			if err := e.ask(ctx); err != nil {
				return err
			}
			asked = true
		}
		if _, err := e.stream(ctx, a); err != nil {
			sight.Standing = append(sight.Standing,
				Finding{Error, a.what, "it is gone and cannot be recreated: " + err.Error()})
			continue
		}
		what := "it was gone and has been recreated: what it held is lost, but for what the bridge still knew"
		if a.users {
			what = "an empty server has taken the place of the former one: it has been made as at a first start"
		}
		sight.News = append(sight.News, Finding{Warning, a.what, what})
	}
	for _, f := range e.found {
		if f.Severity != Note {
			sight.News = append(sight.News, f)
		}
	}
	return nil
}

func (w *assetWatch) lacks(a asset) string {
	name := strings.TrimPrefix(a.what, "stream ")
	if a.config.Name == name {
		return fmt.Sprintf("it is gone: nothing is delivered, and publishers are refused. Restore it, or recreate it: `nats stream add %s --subjects '%s' --retention limits --max-age 7d --storage file`. A restart of the bridge makes it as well", name, strings.Join(a.config.Subjects, ","))
	}
	name = strings.TrimPrefix(a.what, "bucket ")
	return fmt.Sprintf("it is gone: the last records stay in force, none can be changed. Restore it, or recreate it and put the records again: `nats kv add %s --history %d`. A restart of the bridge makes it as well", name, limits.RecordHistory)
}

// empty tells whether nothing is left of what was there when all was there.
func (w *assetWatch) empty(assets []asset, infos map[string]jetstream.StreamInfo) bool {
	for _, a := range assets {
		if info, there := infos[a.config.Name]; there && info.Created.Equal(w.made[a.config.Name]) {
			return false
		}
	}
	return true
}

func errorsOf(found []Finding) []Finding {
	var bad []Finding
	for _, f := range found {
		if f.Severity == Error {
			bad = append(bad, f)
		}
	}
	return bad
}

// changes says what somebody has changed of a stream, as far as it matters.
func changes(a asset, old, now *jetstream.StreamInfo) []Finding {
	k := checker{what: a.what}
	if !old.Created.Equal(now.Created) {
		k.say(Warning, "it was recreated or restored at %s", now.Created.UTC().Format(time.RFC3339))
	}
	was := map[string]bool{}
	for _, f := range a.check(old) {
		was[f.Text] = true
	}
	for _, f := range a.check(now) {
		if !was[f.Text] {
			k.say(f.Severity, "%s", f.Text)
		}
	}
	o, n := old.Config, now.Config
	shrunk(&k, "age (max_age)", int64(o.MaxAge), int64(n.MaxAge), func(v int64) string { return time.Duration(v).String() })
	shrunk(&k, "number of messages (max_msgs)", o.MaxMsgs, n.MaxMsgs, nil)
	shrunk(&k, "size (max_bytes)", o.MaxBytes, n.MaxBytes, nil)
	shrunk(&k, "size of a message (max_msg_size)", int64(o.MaxMsgSize), int64(n.MaxMsgSize), nil)
	if o.Discard != n.Discard {
		k.say(Warning, "what happens when it is full has changed from discard %s to %s", o.Discard, n.Discard)
	}
	for _, s := range o.Subjects {
		if !covered(n.Subjects, s) {
			k.say(Warning,
				"it no longer hears %s: what is published there is not stored, and publishers are refused. If that was not meant: `nats stream edit %s --subjects '%s'`", s, n.Name, strings.Join(o.Subjects, ","))
		}
	}
	if (o.Mirror == nil) != (n.Mirror == nil) {
		k.say(Warning, "it is %s mirror now", map[bool]string{true: "no longer a", false: "a"}[n.Mirror == nil])
	}
	return k.found
}

// shrunk says that a limit has become smaller; what lay beyond it is gone.
func shrunk(k *checker, limit string, was, is int64, show func(int64) string) {
	if is <= 0 || was > 0 && is >= was {
		return
	}
	if show == nil {
		show = func(v int64) string { return fmt.Sprint(v) }
	}
	before := "no limit"
	if was > 0 {
		before = show(was)
	}
	k.say(Warning, "its limit of %s has shrunk from %s to %s: what lies beyond it is deleted, delivered or not", limit,
		before, show(is))
}

func covered(filters []string, subject string) bool {
	for _, f := range filters {
		if f == subject || f == ">" {
			return true
		}
	}
	return false
}
