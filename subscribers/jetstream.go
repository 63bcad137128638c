package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// Options of a JetStream subscriber. JetStream is needed, and Stream for NewFeed.
type Options struct {
	JetStream     jetstream.JetStream
	Stream        string
	DurablePrefix string            // names of the durables; "": "orderbridge-"
	Window        int               // unsettled events; 0: 4,096
	WindowBytes   int               // and their size in bytes; 0: 64 MB
	Replicas      int               // of the durables; 0: those of the stream
	Metadata      map[string]string // of the durables: what others may want to know of the bridge
	Recent        *Recent           // filled for a Source; may be nil
	Logger        *slog.Logger      // nil: slog.Default()

	idleCheck time.Duration
}

// JetStream is a Watermill Subscriber on a stream: one message for each event,
// in stream order, each sequence once. It does not wait for the Ack of one
// message before it sends the next, up to Window unsettled events. Ack means
// settled: the settled prefix is acknowledged on the bus. A Nack brings the
// message again. It is the bridge's shared feed (bridge.Feed).
type JetStream struct {
	o   Options
	log *slog.Logger

	keeping   sync.Mutex
	keepFrom  uint64 // where the consumer stands that keeps what is owed; 0: there is none
	keepKnown bool   // no other one of former leaders is left
	keepNone  bool   // there is no room for it

	mu     sync.Mutex
	closed bool
	hold   uint64 // nothing is acknowledged from there on; 0: no bound
	feed   *feed  // the opened one
}

var _ bridge.Feed = (*JetStream)(nil)

// NewFeed returns the bridge's feed: Open fixes the position, then Subscribe
// delivers. The messages' contexts carry bridge.SourceOf and end only with Close.
func NewFeed(o Options) (*JetStream, error) {
	if o.Stream == "" {
		return nil, errors.New("feed: no stream given")
	}
	if o.JetStream == nil {
		return nil, errors.New("subscriber: no JetStream given")
	}
	if o.Window < 0 || o.WindowBytes < 0 {
		return nil, fmt.Errorf("subscriber: negative window (%d events, %d bytes)", o.Window, o.WindowBytes)
	}
	if o.Window == 0 {
		o.Window = limits.WindowEvents
	}
	if o.WindowBytes == 0 {
		o.WindowBytes = limits.WindowBytes
	}
	if o.idleCheck == 0 {
		o.idleCheck = limits.FeedIdleCheck
	}
	if o.DurablePrefix == "" {
		o.DurablePrefix = "orderbridge-"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &JetStream{o: o, log: o.Logger}, nil
}

func (j *JetStream) durables() *durables {
	return &durables{js: j.o.JetStream, stream: j.o.Stream, prefix: j.o.DurablePrefix, window: j.o.Window,
		replicas: j.o.Replicas, metadata: j.o.Metadata,
		log: j.log, spare: j.keepNot}
}

// Floor implements bridge.Feed.
func (j *JetStream) Floor(ctx context.Context, epoch uint64) (floor uint64, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 4*limits.JetStreamTime)
	defer cancel()
	_, list, floor, err := j.durables().newest(ctx, epoch)
	if err != nil {
		return 0, false, fmt.Errorf("position of the feed: %w", err)
	}
	return floor, len(list) > 0, nil
}

// Open implements bridge.Feed. It ends an earlier epoch's subscription of this
// process. ErrDeposed if there is a durable of a newer epoch.
func (j *JetStream) Open(ctx context.Context, epoch uint64, at event.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, 4*limits.JetStreamTime)
	defer cancel()
	j.mu.Lock()
	old := j.feed
	j.feed = nil
	closed := j.closed
	j.mu.Unlock()
	if closed {
		return errors.New("open feed: closed")
	}
	if old != nil {
		old.close()
	}
	if j.o.Recent != nil {
		j.o.Recent.reset() // it may be another stream
	}
	d := j.durables()
	g, cons, err := d.open(ctx, epoch, at.Seq)
	if err != nil {
		return fmt.Errorf("open feed: %w", err)
	}
	f := newFeed(j.o, d, g, cons, at)
	j.mu.Lock()
	f.hold = j.hold
	j.feed = f
	j.mu.Unlock()
	return nil
}

// Subscribe implements message.Subscriber. The feed is subscribed once after
// each Open, its topic is "" or the stream's name. When ctx ends, no more
// messages come and the channel is closed; those that are out can still be
// settled until Close. The channel is closed as well, and the log says why,
// when a newer epoch has taken over or the stream has been recreated.
func (j *JetStream) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	if topic != "" && topic != j.o.Stream {
		return nil, fmt.Errorf("subscribe: the feed reads stream %q, not %q", j.o.Stream, topic)
	}
	j.mu.Lock()
	f, closed := j.feed, j.closed
	j.mu.Unlock()
	if closed {
		return nil, errors.New("subscribe: closed")
	}
	if f == nil {
		return nil, errors.New("subscribe: the feed is not open")
	}
	return f.start(ctx)
}

// Know implements bridge.Feed.
func (j *JetStream) Know(r event.Ref) {
	j.mu.Lock()
	f := j.feed
	j.mu.Unlock()
	if f != nil {
		f.mu.Lock()
		f.taken.Know(r)
		f.mu.Unlock()
	}
}

// Confirm implements bridge.Feed: it returns when the server has confirmed the
// settled prefix, as far as it came on the present durable (R2).
func (j *JetStream) Confirm(ctx context.Context) error {
	j.mu.Lock()
	f := j.feed
	j.mu.Unlock()
	if f == nil {
		return nil
	}
	return f.confirm(ctx)
}

// Close ends all subscriptions and acknowledges what is settled. It may be
// called twice.
func (j *JetStream) Close() error {
	j.mu.Lock()
	j.closed = true
	f := j.feed
	j.mu.Unlock()
	if f != nil {
		f.close()
	}
	return nil
}
