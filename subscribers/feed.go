package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// feed is one opened position in one stream. Four goroutines share its window:
// the consumer's callback takes messages in, emit sends them on in order,
// awaitAcks waits for the oldest one's Ack, and watch reopens the durable when
// something is in doubt. All rules about sequences are protocol.Intake's.
type feed struct {
	o   Options
	d   *durables
	nc  *nats.Conn
	log *slog.Logger

	done   chan struct{} // closed when all ends
	doubt  chan doubt    // one at a time
	wg     sync.WaitGroup
	base   context.Context // of the messages, set by start
	cancel context.CancelFunc

	mu       sync.Mutex
	room     sync.Cond // the window has room, or the feed stops
	unsent   sync.Cond // there is something to send, or the feed stops
	unacked  sync.Cond // there is something to settle, or the feed stops
	started  bool
	stopped  bool // no more intake
	closed   bool // no more anything
	waiting  bool // the callback waits for room
	intake   protocol.Intake
	gen      durable
	cons     jetstream.Consumer
	takenAt  time.Time
	taken    protocol.Witnesses // the last events taken in or known, or the one at the position
	ring     []entry            // window: [head, tail), those in [head, sent) are out
	head     uint64
	sent     uint64
	tail     uint64
	bytes    int
	handle   string // newest handle of the present durable in the settled prefix
	handled  uint64 // its stream sequence
	acked    uint64 // stream sequence acknowledged on the present durable
	pending  int    // settled since the last acknowledgement
	hold     uint64 // nothing is acknowledged from there on; 0: no bound
	ackTimer *time.Timer
	again    *message.Message // refused, to be sent once more
}

// entry is an event in the window.
type entry struct {
	src    *event.Message
	size   int
	handle string           // where to acknowledge it
	gen    durable          // that the handle is of
	msg    *message.Message // in [head, sent): that is out, or about to be
}

type doubt struct {
	gen durable
	err error
}

func newFeed(o Options, d *durables, g durable, cons jetstream.Consumer, at event.Ref) *feed {
	size := 1
	for size < o.Window {
		size *= 2
	}
	f := &feed{
		o: o, d: d, nc: o.JetStream.Conn(), log: d.log,
		done: make(chan struct{}), doubt: make(chan doubt, 1),
		gen: g, cons: cons, ring: make([]entry, size), takenAt: time.Now(), taken: protocol.Witnesses{at},
	}
	f.room.L, f.unsent.L, f.unacked.L = &f.mu, &f.mu, &f.mu
	f.intake.Opened(at.Seq)
	return f
}

func (f *feed) at(i uint64) *entry { return &f.ring[i&uint64(len(f.ring)-1)] }

func (f *feed) start(ctx context.Context) (<-chan *message.Message, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.started || f.closed {
		return nil, errors.New("subscribe: the feed is subscribed already, open it again first")
	}
	f.started = true
	// What is out is still being worked on when ctx has ended.
	f.base, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	out := make(chan *message.Message)
	f.wg.Add(3)
	go func() {
		defer f.wg.Done()
		f.emit(ctx, out)
		close(out)
	}()
	go func() {
		defer f.wg.Done()
		f.awaitAcks()
	}()
	go func() {
		defer f.wg.Done()
		f.watch(ctx)
	}()
	return out, nil
}

// takeIn is the consumer's callback. While the window is full it blocks, and the
// client asks the server for no more.
func (f *feed) takeIn(gen durable, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		f.suspect(gen, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	size := sizeOf(m)
	for f.gen == gen && !f.stopped && f.tail > f.head && f.intake.Taken() < meta.Sequence.Stream &&
		(f.tail-f.head >= uint64(f.window()) || f.bytes+size > f.o.WindowBytes) {
		f.waiting = true
		f.room.Wait()
		f.waiting = false
	}
	if f.gen != gen || f.stopped {
		return
	}
	f.takenAt = time.Now()
	prev := f.intake.Taken()
	switch f.intake.Take(meta.Sequence.Consumer, meta.Sequence.Stream, meta.NumDelivered > 1) {
	case protocol.Gap:
		f.suspectLocked(gen, fmt.Errorf("message %d of the consumer (delivery %d) came after %d",
			meta.Sequence.Consumer, meta.NumDelivered, f.intake.Consumed()))
	case protocol.Skip:
		f.rehandle(meta.Sequence.Stream, m.Reply())
	case protocol.Deliver:
		src := &event.Message{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Subject: m.Subject(), Data: m.Data()}
		if h := m.Headers(); len(h) > 0 {
			src.Header = h
		}
		f.taken.Know(src.Ref())
		*f.at(f.tail) = entry{src: src, size: size, handle: m.Reply(), gen: gen}
		f.tail++
		f.bytes += size
		if f.o.Recent != nil {
			f.o.Recent.add(prev, src)
		}
		f.unsent.Signal()
	}
}

func sizeOf(m jetstream.Msg) int {
	n := len(m.Data()) + len(m.Subject()) + 256
	for k, vs := range m.Headers() {
		n += len(k) + 64
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}

// rehandle gives an event that came before its handle on the present durable.
func (f *feed) rehandle(seq uint64, handle string) {
	if seq <= f.intake.Prefix() {
		f.handle, f.handled = handle, seq
		f.advanced(1)
		return
	}
	lo, hi := f.head, f.tail
	for lo < hi {
		if mid := lo + (hi-lo)/2; f.at(mid).src.Seq < seq {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < f.tail && f.at(lo).src.Seq == seq {
		f.at(lo).handle, f.at(lo).gen = handle, f.gen
	}
}

// emit sends the events on, in order, and those that were refused once more.
func (f *feed) emit(ctx context.Context, out chan<- *message.Message) {
	defer context.AfterFunc(ctx, f.stop)()
	srcs := make([]*event.Message, 0, limits.FeedBatch)
	msgs := make([]*message.Message, 0, limits.FeedBatch)
	for {
		f.mu.Lock()
		for f.sent == f.tail && f.again == nil && !f.stopped {
			f.unsent.Wait()
		}
		if f.stopped {
			f.mu.Unlock()
			return
		}
		first := f.sent
		srcs = srcs[:0]
		for i := first; i < f.tail && len(srcs) < limits.FeedBatch; i++ {
			srcs = append(srcs, f.at(i).src)
		}
		f.mu.Unlock()

		msgs = msgs[:0]
		for _, src := range srcs {
			msgs = append(msgs, f.message(src))
		}

		f.mu.Lock()
		for i, m := range msgs {
			f.at(first + uint64(i)).msg = m
		}
		f.sent += uint64(len(msgs))
		f.unacked.Signal()
		f.mu.Unlock()

		for i := 0; i <= len(msgs); i++ {
			for again := f.takeAgain(); again != nil; again = f.takeAgain() {
				if !f.send(ctx, out, again) {
					return
				}
			}
			if i < len(msgs) && !f.send(ctx, out, msgs[i]) {
				return
			}
		}
	}
}

func (f *feed) send(ctx context.Context, out chan<- *message.Message, m *message.Message) bool {
	select {
	case out <- m:
		return true
	case <-ctx.Done():
	case <-f.done:
	}
	return false
}

func (f *feed) takeAgain() *message.Message {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.again
	f.again = nil
	return m
}

// message makes a new message of an event.
func (f *feed) message(src *event.Message) *message.Message {
	id := ""
	if v := src.Header[nats.MsgIdHdr]; len(v) > 0 {
		id = v[0]
	}
	if id == "" {
		id = strconv.FormatUint(src.Seq, 10)
	}
	m := message.NewMessage(id, src.Data)
	for k, v := range src.Header {
		if len(v) > 0 && !strings.HasPrefix(k, "Nats-") {
			m.Metadata[k] = v[0]
		}
	}
	m.SetContext(bridge.WithSource(f.base, src))
	return m
}

// stop ends intake and sending; what is out can still be settled.
func (f *feed) stop() {
	f.mu.Lock()
	f.stopped = true
	f.room.Broadcast()
	f.unsent.Broadcast()
	f.mu.Unlock()
}

func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.closed, f.stopped = true, true
	close(f.done)
	f.room.Broadcast()
	f.unsent.Broadcast()
	f.unacked.Broadcast()
	if f.cancel != nil {
		f.cancel()
	}
}

// close may be called by several at once.
func (f *feed) close() {
	f.end()
	f.wg.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.head < f.sent && acked(f.at(f.head).msg) { // what was settled while all ended
		f.pop(1)
	}
	f.acknowledge()
}
