package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// # R1 Epoch
//
// Each leadership, and each reopening within it, makes a new durable consumer, orderbridge-<epoch>-<n>, and
// then deletes all older ones. A used durable is never reset, and the server's acknowledgement timeout (24 h) is never
// relied on.
//
// At a take-over the durable begins behind the higher of two numbers: the floor in the lease entry, and what the newest
// durable of the newest older epoch has confirmed. Both are read once, and before any state is read (R9). (A fresh
// replicated consumer reports 0 as confirmed: its start - 1 counts instead. In a stream that has changed, R15 decides.) At
// a reopening the durable begins behind the process's own settled prefix.
//
// The very first start on a bus begins at the end of the stream; older events reach a record through its anchor (R13).

// durables makes and finds the feed's durables on one stream: <prefix><epoch>-<n>,
// a new one for each leadership and each reopening (R1).
type durables struct {
	js       jetstream.JetStream
	stream   string
	prefix   string
	window   int
	replicas int
	metadata map[string]string
	log      *slog.Logger
	created  time.Time                   // of the stream, since open
	spare    func(context.Context) error // gives up what the feed can do without
	told     int                         // the smaller window that the log has told of
}

// errRecreated: the sequences that the bridge knows mean nothing in this stream,
// or mean other events.
var errRecreated = errors.New("the stream was recreated or has lost its end")

// durable is one generation of the feed's consumer.
type durable struct {
	epoch, n uint64
}

func (d durable) after(o durable) bool {
	return d.epoch > o.epoch || d.epoch == o.epoch && d.n > o.n
}

func (d *durables) name(g durable) string { return fmt.Sprintf("%s%d-%d", d.prefix, g.epoch, g.n) }

func (d *durables) parse(name string) (durable, bool) {
	rest, ok := strings.CutPrefix(name, d.prefix)
	if !ok {
		return durable{}, false
	}
	e, n, ok := strings.Cut(rest, "-")
	if !ok {
		return durable{}, false
	}
	epoch, err1 := strconv.ParseUint(e, 10, 64)
	num, err2 := strconv.ParseUint(n, 10, 64)
	return durable{epoch, num}, err1 == nil && err2 == nil
}

// list returns the present durables.
func (d *durables) list(ctx context.Context) ([]durable, error) {
	s, err := d.js.Stream(ctx, d.stream)
	if err != nil {
		return nil, fmt.Errorf("stream %q: %w", d.stream, err)
	}
	var found []durable
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if g, ok := d.parse(name); ok {
			found = append(found, g)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("consumers of stream %q: %w", d.stream, err)
	}
	return found, nil
}

// floor is the position that a durable has confirmed, as its leader says.
func (d *durables) floor(ctx context.Context, g durable) (uint64, error) {
	c, err := d.js.Consumer(ctx, d.stream, d.name(g))
	if err != nil {
		return 0, fmt.Errorf("consumer %q: %w", d.name(g), err)
	}
	info := c.CachedInfo()
	floor := info.AckFloor.Stream
	if start := info.Config.OptStartSeq; start > 0 {
		floor = max(floor, start-1) // a fresh replicated consumer reports 0
	}
	return floor, nil
}

// make creates a durable that begins at position+1 and deletes all older ones.
func (d *durables) make(ctx context.Context, g durable, position uint64, older []durable) (jetstream.Consumer, error) {
	c, err := d.create(ctx, jetstream.ConsumerConfig{
		Durable: d.name(g), Description: "orderbridge: the feed",
		AckPolicy: jetstream.AckAllPolicy, AckWait: limits.FeedAckWait, MaxDeliver: -1, MaxAckPending: d.window,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: position + 1,
		Replicas: d.replicas, Metadata: d.metadata,
	}, g, older)
	if err != nil {
		return nil, fmt.Errorf("make consumer %q: %w", d.name(g), err)
	}
	for _, o := range older {
		if !g.after(o) {
			continue
		}
		// One that stays is harmless: nothing of it is read any more, and the
		// next reopening deletes it.
		if err := d.js.DeleteConsumer(ctx, d.stream, d.name(o)); err != nil &&
			!errors.Is(err, jetstream.ErrConsumerNotFound) {
			d.log.Warn("an older consumer of the feed is not deleted", "consumer", d.name(o), "error", err)
		}
	}
	return c, nil
}

// newest finds where the durables of older epochs, or an earlier call of this
// one, have come to, and the next durable of the epoch.
func (d *durables) newest(ctx context.Context, epoch uint64) (next durable, found []durable, floor uint64, err error) {
	if found, err = d.list(ctx); err != nil {
		return durable{}, nil, 0, err
	}
	next = durable{epoch: epoch, n: 1}
	var newest durable // of the older epochs
	for _, o := range found {
		switch {
		case o.epoch > epoch:
			return durable{}, nil, 0, fmt.Errorf("consumer %q is of a newer epoch than %d: %w", d.name(o), epoch,
				protocol.ErrDeposed)
		case o.epoch == epoch:
			next.n = max(next.n, o.n+1)
		case o.after(newest):
			newest = o
		}
	}
	// The own one is of an earlier call, whose answer was lost: it may have
	// deleted the older ones.
	for _, o := range []durable{newest, {epoch, next.n - 1}} {
		if o.n == 0 {
			continue
		}
		f, err := d.floor(ctx, o)
		if err != nil {
			return durable{}, nil, 0, err
		}
		floor = max(floor, f)
	}
	return next, found, floor, nil
}

// open makes the first durable of an epoch, which begins at position+1.
func (d *durables) open(ctx context.Context, epoch, position uint64) (durable, jetstream.Consumer, error) {
	g, found, _, err := d.newest(ctx, epoch)
	if err != nil {
		return durable{}, nil, err
	}
	info, err := msgget.Info(ctx, d.js, d.stream)
	if err != nil {
		return durable{}, nil, err
	}
	d.created = info.Created
	if first := info.State.FirstSeq; position > 0 && first > position+1 {
		d.log.Warn("events have expired before the feed has seen them", "stream", d.stream, "position", position,
			"first", first, "missing", first-position-1)
	}
	c, err := d.make(ctx, g, position, found)
	return g, c, err
}

// reopen makes the next durable of the same epoch; taken is the last event
// taken in. Before and after it is made the stream must still be the one that
// holds that event (R15).
func (d *durables) reopen(ctx context.Context, last durable, position uint64, taken protocol.Witnesses) (durable,
	jetstream.Consumer, error) {
	found, err := d.list(ctx)
	if err != nil {
		return durable{}, nil, err
	}
	if err := d.unchanged(ctx, taken); err != nil {
		return durable{}, nil, err
	}
	g := durable{last.epoch, last.n + 1}
	for _, o := range found {
		switch {
		case o.epoch > g.epoch:
			return durable{}, nil, fmt.Errorf("consumer %q is of a newer epoch than %d: %w", d.name(o), g.epoch,
				protocol.ErrDeposed)
		case o.epoch == g.epoch:
			g.n = max(g.n, o.n+1)
		}
	}
	c, err := d.make(ctx, g, position, found)
	if err == nil {
		err = d.unchanged(ctx, taken)
	}
	return g, c, err
}

// unchanged is an error of errRecreated if the stream is another one.
func (d *durables) unchanged(ctx context.Context, witnesses protocol.Witnesses) error {
	taken := witnesses[0]
	info, err := msgget.Info(ctx, d.js, d.stream)
	switch {
	case err != nil:
		return err
	case !info.Created.Equal(d.created):
		return fmt.Errorf("%w: it is of %s", errRecreated, info.Created)
	case info.State.LastSeq < taken.Seq && !msgget.Settled(info):
		return fmt.Errorf("%w: it seems to end before event %d", msgget.ErrNoLeader, taken.Seq)
	case info.State.LastSeq < taken.Seq:
		return fmt.Errorf("%w: it ends at sequence %d, event %d has been taken in", errRecreated, info.State.LastSeq,
			taken.Seq)
	}
	r, standing, err := witnesses.Testify(func(r event.Ref) (protocol.Standing, error) {
		if r.Seq < info.State.FirstSeq {
			return protocol.Absent, nil
		}
		m, err := msgget.BySeq(ctx, d.js, d.stream, r.Seq)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			return protocol.Absent, nil // merely gone
		case err == nil && m.Ref() != r:
			return protocol.Other, nil
		}
		return protocol.Same, err
	})
	if err == nil && standing == protocol.Other {
		err = fmt.Errorf("%w: event %d is another one now", errRecreated, r.Seq)
	}
	return err
}
