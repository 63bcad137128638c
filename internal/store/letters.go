package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Letter is a dead letter as it lies in its stream.
type Letter struct {
	Sequence uint64 `json:"deadLetter"`
	protocol.DeadLetter
	// Envelope is the whole letter, its event included. Letters leaves it out.
	Envelope json.RawMessage `json:"-"`
}

// Letters returns the newest limit dead letters below the sequence before (0:
// all), newest first, that pass the filter, and before what to go on: 0 if there
// are no more. A page may end earlier, bounded by what is looked at. Their events
// are left out. protocol.ErrNotFound if the stream has never been made.
func (c *Catalog) Letters(ctx context.Context, scope Scope, f LetterFilter, before uint64, limit int) ([]Letter,
	uint64, error) {
	if f.Subscription != "" && !safeID.MatchString(f.Subscription) {
		return nil, 0, nil
	}
	stream, err := c.letterStream(ctx)
	if err != nil {
		return nil, 0, err
	}
	state := stream.CachedInfo().State
	high := state.LastSeq
	if before > 0 {
		high = min(high, before-1)
	}
	r := c.letterReader(scope, stream, f)
	bounded := !scope.all || f.selects()
	found := []Letter{}
	for window := uint64(max(limits.LetterWindow, limit)); state.Msgs > 0 && high >= state.FirstSeq; window *= 4 {
		if bounded {
			window = min(window, limits.APIPageReads)
		}
		low := state.FirstSeq
		if high-low >= window {
			low = high - window + 1
		}
		newest, err := r.read(ctx, low, high, limit-len(found)+1)
		if err != nil {
			return nil, 0, fmt.Errorf("read stream %q: %w", c.names.DeadLetters, err)
		}
		found = append(found, newest...)
		if len(found) > limit {
			return found[:limit], found[limit-1].Sequence, nil
		}
		if high = low - 1; bounded && r.looked >= limits.APIPageReads && high >= state.FirstSeq {
			return found, low, nil
		}
	}
	return found, 0, nil
}

func (c *Catalog) letterStream(ctx context.Context) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.names.DeadLetters)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", c.names.DeadLetters, err)
	}
	return stream, nil
}

type letterReader struct {
	catalog *Catalog
	stream  jetstream.Stream
	subject string
	filter  LetterFilter
	owners  owners
	looked  int
}

func (c *Catalog) letterReader(scope Scope, stream jetstream.Stream, f LetterFilter) *letterReader {
	return &letterReader{catalog: c, stream: stream, subject: c.letterSubject(f.Subscription), filter: f,
		owners: owners{catalog: c, scope: scope}}
}

// read returns the newest letters of [low, high], at most that many, newest first.
func (r *letterReader) read(ctx context.Context, low, high uint64, most int) ([]Letter, error) {
	if elsewhere(r.catalog.js) {
		return r.readSingly(ctx, low, high, most)
	}
	consumer, err := r.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		FilterSubject: r.subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: low,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	info := consumer.CachedInfo()
	defer func() { _ = r.stream.DeleteConsumer(context.WithoutCancel(ctx), info.Name) }() // it would end by itself
	if info.NumPending == 0 {
		return nil, nil
	}
	messages, err := consumer.Messages(pullBytes(info, limits.LetterPullBytes))
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var list []Letter
	for range info.NumPending {
		msg, err := messages.Next(jetstream.NextMaxWait(limits.LetterTime))
		if errors.Is(err, nats.ErrTimeout) {
			now, e := consumer.Info(ctx)
			if e == nil && now.NumPending == 0 {
				break // some went meanwhile
			}
		}
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		if meta.Sequence.Stream > high {
			break
		}
		r.looked++
		l, own, err := r.catalog.letter(ctx, &r.owners, meta.Sequence.Stream, msg.Data())
		if err != nil {
			return nil, err
		}
		if own && r.filter.wants(&l) {
			l.Event, l.Envelope = nil, nil
			list = append(list, l)
		}
		if len(list) > 2*most {
			list = slices.Delete(list, 0, len(list)-most)
		}
	}
	slices.Reverse(list)
	return list[:min(len(list), most)], nil
}

// readSingly is read without a consumer.
func (r *letterReader) readSingly(ctx context.Context, low, high uint64, most int) ([]Letter, error) {
	list, err := scan(ctx, r.catalog.js, r.catalog.names.DeadLetters, r.subject, low, high, most,
		func(m *event.Message) (Letter, bool, error) {
			l, own, err := r.catalog.letter(ctx, &r.owners, m.Seq, m.Data)
			own = own && r.filter.wants(&l)
			l.Event, l.Envelope = nil, nil
			return l, own, err
		})
	slices.Reverse(list)
	return list[:min(len(list), most)], err
}

// letter keeps what can be read of an envelope, and says whether it lies in the scope.
func (c *Catalog) letter(ctx context.Context, o *owners, sequence uint64, envelope []byte) (Letter, bool, error) {
	d, err := c.parse(envelope)
	if err != nil {
		d.Reason = err.Error()
	}
	l := Letter{sequence, d, envelope}
	if o.scope.all {
		return l, true, nil
	}
	if d.Event != nil && d.Event.Tenant != "" && !o.scope.holds(d.Event.Tenant) {
		return l, false, nil
	}
	own, err := o.hold(ctx, d.Subscription, d.Generation)
	return l, own, err
}

// Letter reads one dead letter from the leader of its stream.
func (c *Catalog) Letter(ctx context.Context, scope Scope, sequence uint64) (Letter, error) {
	l, own := Letter{}, false
	m, err := msgget.BySeq(ctx, c.js, c.names.DeadLetters, sequence)
	if err == nil {
		l, own, err = c.letter(ctx, &owners{catalog: c, scope: scope}, sequence, m.Data)
	}
	if err == nil && !own {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read dead letter %d: %w", sequence, err)
	}
	return l, nil
}

// RedriveRequest and RedriveAnswer are what a Catalog and the leader exchange on
// <Names.Commands>.redrive, as JSON.
type RedriveRequest struct {
	Subscription string `json:"subscription"`
	Generation   uint64 `json:"generation"`
	Sequence     uint64 `json:"sequence"` // in the stream of dead letters
}

// RedriveAnswer is the leader's answer.
type RedriveAnswer struct {
	Accepted bool   `json:"accepted"`
	Reason   string `json:"reason,omitempty"` // why not
	Owed     bool   `json:"owed,omitempty"`   // because it is owed again already
	Gone     bool   `json:"gone,omitempty"`   // because it is not there any more: it was delivered, or removed
	Busy     bool   `json:"busy,omitempty"`   // because too much is owed now: try again later
}

// Redrive asks the leader to put a dead letter back as owed by its
// subscription. The error is a *RefusedError if it does not want to, ErrNoLeader
// if nobody answers (it may have been accepted all the same), protocol.ErrNotFound
// if there is no such letter in the scope.
func (c *Catalog) Redrive(ctx context.Context, scope Scope, sequence uint64) (Letter, error) {
	l, err := c.Letter(ctx, scope, sequence)
	if err != nil {
		return l, err
	}
	body, err := json.Marshal(RedriveRequest{l.Subscription, l.Generation, sequence})
	if err != nil {
		return l, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*limits.JetStreamTime)
	defer cancel()
	reply, err := ask(ctx, c.js, c.names.Commands+".redrive", body, c.key)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return l, ErrNoLeader
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return l, fmt.Errorf("%w that answers within %s; it may have accepted all the same", ErrNoLeader,
			2*limits.JetStreamTime)
	case err != nil:
		return l, fmt.Errorf("ask the leader: %w", err)
	}
	var answer RedriveAnswer
	if err := json.Unmarshal(reply, &answer); err != nil {
		return l, fmt.Errorf("the leader's answer cannot be read: %w", err)
	}
	no := &RefusedError{Reason: answer.Reason}
	switch {
	case answer.Accepted:
		return l, nil
	case answer.Owed:
		return l, fmt.Errorf("%w: %w", protocol.ErrOwedAgain, no)
	case answer.Gone:
		return l, fmt.Errorf("%w: %w", protocol.ErrNotFound, no)
	case answer.Busy:
		return l, fmt.Errorf("%w: %w", protocol.ErrLanesFull, no)
	}
	return l, no
}

// RemoveLetter removes a dead letter for good. protocol.ErrNotFound if there is no
// such letter, or no stream of them.
func (c *Catalog) RemoveLetter(ctx context.Context, sequence uint64) error {
	stream, err := c.letterStream(ctx)
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	return err
}

// RemoveLetters removes all dead letters of a subscription, or ("") of all, for
// good, and tells how many. protocol.ErrNotFound if there is no stream of them.
func (c *Catalog) RemoveLetters(ctx context.Context, subscription string) (int, error) {
	if subscription != "" && !safeID.MatchString(subscription) {
		return 0, nil
	}
	stream, err := c.letterStream(ctx)
	if err != nil {
		return 0, err
	}
	before := stream.CachedInfo().State.Msgs
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(c.letterSubject(subscription))); err != nil {
		return 0, fmt.Errorf("purge stream %q: %w", c.names.DeadLetters, err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("purged stream %q, but how many are left is not known: %w", c.names.DeadLetters, err)
	}
	return int(before - min(before, info.State.Msgs)), nil
}

// letterSubject is where the dead letters of a subscription lie; "" is all.
func (c *Catalog) letterSubject(subscription string) string {
	if subscription == "" {
		return c.names.DeadLetterSubject + ".>"
	}
	return c.names.DeadLetterSubject + "." + subscription + ".>"
}
