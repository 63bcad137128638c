package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/subscribers"
)

// Watermill's own Pub/Sub suite; docs/decisions/0004-conformance.md says what
// of it does not apply.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		window  int
		ordered bool
	}{
		// As the suite understands order: no message before the Ack of the last.
		"window of one": {1, true},
		"window":        {0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := lab.StartBus(t).JetStream()
			group := func(_ *testing.T, group string) (message.Publisher, message.Subscriber) {
				return publisher{js}, &subscriber{o: subscribers.Options{
					JetStream: js, DurablePrefix: group + "-", Window: tt.window, Logger: slog.New(slog.DiscardHandler),
				}}
			}
			tests.TestPubSub(t, tests.Features{
				ConsumerGroups:        true,
				GuaranteedOrder:       tt.ordered,
				Persistent:            true,
				RequireSingleInstance: true,
				ForceShort:            testing.Short(),
			}, func(t *testing.T) (message.Publisher, message.Subscriber) { return group(t, "suite") }, group)
		})
	}
}

// publisher stores messages as the suite expects to get them back.
type publisher struct{ js jetstream.JetStream }

func (p publisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		out := &nats.Msg{Subject: topic, Data: m.Payload, Header: nats.Header{nats.MsgIdHdr: {m.UUID}}}
		for k, v := range m.Metadata {
			out.Header[k] = []string{v}
		}
		if _, err := p.js.PublishMsg(m.Context(), out); err != nil {
			return fmt.Errorf("publish %q: %w", m.UUID, err)
		}
	}
	return nil
}

func (publisher) Close() error { return nil }

// subscriber has feeds do what the suite wants of a subscriber, and the bridge
// does not: the topic is the name of a stream, which is made if it is absent,
// each Subscribe opens a feed at what the one before had settled and so takes
// over from it, and a message's context ends with its Ack and with the
// subscription.
type subscriber struct {
	o subscribers.Options

	mu     sync.Mutex
	closed bool
	feeds  []*subscribers.JetStream
	relays sync.WaitGroup
}

func (s *subscriber) SubscribeInitialize(topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	_, err := s.o.JetStream.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: topic, Subjects: []string{topic}})
	return err
}

func (s *subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if err := s.SubscribeInitialize(topic); err != nil {
		return nil, err
	}
	o := s.o
	o.Stream = topic
	feed, err := subscribers.NewFeed(o)
	if err == nil {
		err = open(ctx, feed)
	}
	if err != nil {
		return nil, err
	}
	in, err := feed.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(errors.New("the subscriber is closed"), feed.Close())
	}
	s.feeds = append(s.feeds, feed)
	out := make(chan *message.Message)
	s.relays.Go(func() { relay(ctx, in, out, feed) })
	return out, nil
}

// open takes over, whoever else does at the same moment.
func open(ctx context.Context, feed *subscribers.JetStream) error {
	ctx, cancel := context.WithTimeout(ctx, lab.Patience)
	defer cancel()
	for {
		epoch := uint64(time.Now().UnixNano())
		floor, _, err := feed.Floor(ctx, epoch)
		if err == nil {
			err = feed.Open(ctx, epoch, event.Ref{Seq: floor})
		}
		again := errors.Is(err, protocol.ErrDeposed) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerExists)
		if !again || ctx.Err() != nil {
			return err
		}
	}
}

// relay hands the feed's messages on, each with a context of its own.
func relay(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message, feed *subscribers.JetStream) {
	base, end := context.WithCancel(ctx)
	var settling sync.WaitGroup
	for m := range in {
		own, cancel := context.WithCancel(base)
		mine := message.NewMessage(m.UUID, m.Payload)
		mine.Metadata = m.Metadata
		mine.SetContext(own)
		settling.Go(func() {
			defer cancel()
			select {
			case <-mine.Acked():
				m.Ack()
			case <-mine.Nacked():
				m.Nack()
			case <-m.Context().Done():
			case <-ctx.Done():
			}
		})
		select {
		case out <- mine:
		case <-ctx.Done():
		case <-m.Context().Done():
		}
	}
	end()
	_ = feed.Close() // it returns nil
	settling.Wait()
	close(out)
}

// Close returns when all channels are closed.
func (s *subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	feeds := s.feeds
	s.mu.Unlock()
	for _, feed := range feeds {
		if err := feed.Close(); err != nil {
			return err
		}
	}
	s.relays.Wait()
	return nil
}
