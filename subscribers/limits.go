package subscribers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// What servers, accounts and streams limit, and how the feed and the readers
// work with less.

// JetStream's refusals of a new consumer.
const (
	codeMaximumConsumers = 10026
	codeMaxAckPending    = 10121
	codeNoResources      = 10023
	codeNoPeers          = 10005
)

// create makes the feed's durable. Where the stream has no room for a further
// consumer, the older ones go first: the position is fixed by then. Where so
// many unacknowledged events are not allowed, the window is smaller.
func (d *durables) create(ctx context.Context, c jetstream.ConsumerConfig, g durable,
	older []durable) (jetstream.Consumer, error) {
	asked, spared := c.MaxAckPending, d.spare == nil
	for {
		cons, err := d.js.CreateConsumer(ctx, d.stream, c)
		switch code := errorCode(err); {
		case err == nil:
			if got := cons.CachedInfo().Config.MaxAckPending; got < asked && got != d.told {
				d.told = got
				d.log.Warn("the window of the feed is smaller than ORDERBRIDGE_WINDOW: no more unacknowledged events are allowed (max_ack_pending of the account, of the server's jetstream limits, or of the stream's consumer limits); more of them are faster",
					"stream", d.stream, "window", got, "wanted", asked)
			}
			return cons, nil
		case code == codeMaximumConsumers:
			if d.spare != nil {
				if err := d.spare(ctx); err != nil {
					return nil, err
				}
			}
			deleted, derr := d.deleteOlder(ctx, g, older)
			if derr != nil {
				return nil, derr
			}
			if deleted == 0 && spared {
				return nil, fmt.Errorf("%w: other consumers than the feed's take all that stream %q or its account allows (max_consumers): delete those that nobody needs (`nats consumer ls %s`), raise max_consumers of the account, or make a stream with more that sources from it", err, d.stream, d.stream)
			}
			older, spared = nil, true
		case code == codeMaxAckPending && c.MaxAckPending > 1:
			c.MaxAckPending /= 2
		case code == codeNoResources || code == codeNoPeers:
			return nil, fmt.Errorf("%w: no server has room for it; look at max_ha_assets and the disks of the servers of stream %q", err, d.stream)
		default:
			return nil, err
		}
	}
}

// deleteOlder deletes durables of ours that are older than g.
func (d *durables) deleteOlder(ctx context.Context, g durable, older []durable) (deleted int, err error) {
	for _, o := range older {
		if !g.after(o) {
			continue
		}
		if err := d.js.DeleteConsumer(ctx, d.stream, d.name(o)); err != nil &&
			!errors.Is(err, jetstream.ErrConsumerNotFound) {
			return deleted, fmt.Errorf("delete consumer %q, since stream %q allows no further one: %w", d.name(o),
				d.stream, err)
		}
		deleted++
	}
	return deleted, nil
}

func errorCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}

// pullLimit is how much is asked for at once: so many bytes, and no more
// messages than the server allows (max_request_batch).
func pullLimit(info *jetstream.ConsumerInfo, bytes int) jetstream.PullConsumeOpt {
	if most := info.Config.MaxRequestBatch; most > 0 {
		return jetstream.PullMaxMessagesWithBytesLimit(most, bytes)
	}
	return jetstream.PullMaxBytes(bytes)
}

// window is how many unsettled events the present durable allows.
func (f *feed) window() int {
	if f.cons != nil {
		if got := f.cons.CachedInfo().Config.MaxAckPending; got > 0 {
			return min(f.o.Window, got)
		}
	}
	return f.o.Window
}

// Window is how many unsettled events the feed has at most.
func (j *JetStream) Window() int {
	j.mu.Lock()
	f := j.feed
	j.mu.Unlock()
	if f == nil {
		return j.o.Window
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.window()
}

// HoldBack keeps the feed from acknowledging events from that sequence on,
// although they are settled: the stream would delete them, and somebody still
// has to read them.
func (j *JetStream) HoldBack(from uint64) {
	j.mu.Lock()
	j.hold = from
	f := j.feed
	j.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = from
	f.acknowledge()
}

func (f *feed) holds() bool { return f.hold > 0 && f.handled >= f.hold }

// difference says what somebody has changed of the durable: of its own accord
// the server changes nothing. What has been passed over meanwhile cannot come
// again, so the caller makes a new durable at once.
func difference(made, now *jetstream.ConsumerInfo) string {
	m, n := made.Config, now.Config
	switch {
	case now.Paused:
		return fmt.Sprintf("somebody has paused it (`nats consumer pause`) for %s; to stop deliveries, deactivate subscriptions or stop the bridge", now.PauseRemaining.Round(time.Second))
	case n.FilterSubject != m.FilterSubject || len(n.FilterSubjects) != len(m.FilterSubjects):
		return "somebody has given it a filter"
	case n.MaxAckPending != m.MaxAckPending:
		return fmt.Sprintf("somebody has changed its max_ack_pending from %d to %d", m.MaxAckPending, n.MaxAckPending)
	case n.AckWait != m.AckWait, n.MaxDeliver != m.MaxDeliver, len(n.BackOff) != len(m.BackOff),
		n.InactiveThreshold != m.InactiveThreshold,
		n.MaxRequestBatch != m.MaxRequestBatch, n.MaxRequestExpires != m.MaxRequestExpires,
		n.MaxRequestMaxBytes != m.MaxRequestMaxBytes,
		n.HeadersOnly != m.HeadersOnly, n.RateLimit != m.RateLimit, n.MaxWaiting != m.MaxWaiting:
		return "somebody has edited it"
	}
	return ""
}

// readOneByOne is Read where no consumer can be made.
func (s *Source) readOneByOne(ctx context.Context, from uint64, filters []string, max, maxBytes int) ([]*event.Message,
	protocol.Reading, error) {
	v, err := s.bounds.get(ctx)
	if err != nil {
		return nil, protocol.Reading{}, err
	}
	if len(filters) == 0 {
		filters = []string{">"}
	}
	var msgs []*event.Message
	read := protocol.Reading{Through: from - 1}
	for size := 0; len(msgs) < max && size < maxBytes && read.Through < v.last; {
		m, err := s.nearest(ctx, read.Through+1, filters, v.settled)
		switch {
		case err != nil && len(msgs) > 0:
			return msgs, read, nil
		case err != nil:
			return nil, protocol.Reading{}, err
		case m == nil:
			return msgs, protocol.Reading{Through: v.last, Known: v.lastRef()}, nil
		}
		msgs = append(msgs, m)
		size += len(m.Data)
		read = protocol.Reading{Through: m.Seq, Known: m.Ref()}
	}
	return msgs, read, nil
}

// nearest is the first message at or after seq that one of the filters matches;
// nil if there is none.
func (s *Source) nearest(ctx context.Context, seq uint64, filters []string, settled bool) (*event.Message, error) {
	var first *event.Message
	for _, f := range filters {
		m, err := msgget.Next(ctx, s.o.JetStream, s.o.Stream, seq, f)
		switch {
		case errors.Is(err, protocol.ErrNotFound) && !settled:
			return nil, errUnsettled
		case errors.Is(err, protocol.ErrNotFound):
		case err != nil:
			return nil, err
		case first == nil || m.Seq < first.Seq:
			first = m
		}
	}
	return first, nil
}
