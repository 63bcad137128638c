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
	"orderbridge/internal/limits"
)

var ackBody = []byte("+ACK")

// feed is one opened position in one stream. Four goroutines share its window:
// the consumer's callback takes messages in, emit sends them on in order,
// awaitAcks waits for the oldest one's Ack, and watch reopens the durable when
// something is in doubt. All rules about sequences are bridge.Intake's.
type feed struct {
	o          Options
	d          *durables
	nc         *nats.Conn
	log        *slog.Logger
	standalone bool

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
	intake   bridge.Intake
	gen      durable
	cons     jetstream.Consumer
	takenAt  time.Time
	taken    bridge.Witnesses // the last events taken in or known, or the one at the position
	ring     []entry          // window: [head, tail), those in [head, sent) are out
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
	src     *bridge.Message
	size    int
	handle  string  // where to acknowledge it
	gen     durable // that the handle is of
	sending sending // in [head, sent)
}

// sending is the message of an event that is out, or about to be.
type sending struct {
	msg    *message.Message
	cancel context.CancelFunc // stand-alone: of its context
}

type doubt struct {
	gen durable
	err error
}

func newFeed(o Options, d *durables, g durable, cons jetstream.Consumer, at bridge.Ref, standalone bool) *feed {
	size := 1
	for size < o.Window {
		size *= 2
	}
	f := &feed{
		o: o, d: d, nc: o.JetStream.Conn(), log: d.log, standalone: standalone,
		done: make(chan struct{}), doubt: make(chan doubt, 1),
		gen: g, cons: cons, ring: make([]entry, size), takenAt: time.Now(), taken: bridge.Witnesses{at},
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
	if f.standalone {
		f.base, f.cancel = context.WithCancel(ctx)
	} else {
		// What is out is still being worked on when ctx has ended.
		f.base, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
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

// watch consumes from the present durable and makes a new one whenever it is in doubt.
func (f *feed) watch(ctx context.Context) {
	defer f.stop()
	status := f.nc.StatusChanged(nats.CONNECTED)
	defer f.nc.RemoveStatusListener(status)
	idle := time.NewTicker(f.o.idleCheck)
	defer idle.Stop()
	for {
		f.mu.Lock()
		gen, cons := f.gen, f.cons
		f.mu.Unlock()
		cc, err := f.consume(gen, cons)
		for err == nil {
			select {
			case <-ctx.Done():
				cc.Stop()
				return
			case <-f.done:
				cc.Stop()
				return
			case <-status:
				err = errors.New("reconnected")
			case d := <-f.doubt:
				if d.gen == gen {
					err = d.err
				}
			case <-idle.C:
				err = f.checkIdle(ctx, gen, cons)
			}
		}
		if cc != nil {
			cc.Stop()
		}
		if err := f.reopen(ctx, err, status); err != nil {
			if ctx.Err() == nil {
				f.log.Error("the feed ends", "stream", f.d.stream, "error", err)
			}
			return
		}
	}
}

func (f *feed) consume(gen durable, cons jetstream.Consumer) (jetstream.ConsumeContext, error) {
	return cons.Consume(func(m jetstream.Msg) { f.takeIn(gen, m) },
		pullLimit(cons.CachedInfo(), max(limits.FeedPullBytes, 2*int(f.nc.MaxPayload()))),
		jetstream.PullExpiry(limits.FeedPullTime), jetstream.PullHeartbeat(limits.FeedHeartbeat),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { f.suspect(gen, err) }))
}

func (f *feed) suspect(gen durable, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.suspectLocked(gen, err)
}

// suspectLocked has the durable reopened; one word about it is enough.
func (f *feed) suspectLocked(gen durable, err error) {
	if gen != f.gen {
		return
	}
	select {
	case f.doubt <- doubt{gen, err}:
	default:
	}
}

// checkIdle looks for messages that the server has sent and that got lost at
// the end of what was received, where no gap tells of them.
func (f *feed) checkIdle(ctx context.Context, gen durable, cons jetstream.Consumer) error {
	f.mu.Lock()
	consumed, idle := f.intake.Consumed(), !f.waiting && time.Since(f.takenAt) > time.Second
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	made := cons.CachedInfo()
	info, err := cons.Info(ctx)
	if err != nil {
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		return nil // the connection's own signs decide
	}
	if why := difference(made, info); why != "" {
		f.log.Warn("the consumer of the feed is recreated, since it is not as it was made", "stream", f.d.stream, "consumer", f.d.name(gen), "cause", why)
		return fmt.Errorf("consumer %q is not as it was made: %s", f.d.name(gen), why)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if idle && f.gen == gen && f.intake.Consumed() == consumed && info.Delivered.Consumer > consumed {
		return fmt.Errorf("the server has delivered %d messages, %d came", info.Delivered.Consumer, consumed)
	}
	return nil
}

// reopen makes a new durable at the own settled prefix (R1); nothing that comes
// from the old one counts any more.
func (f *feed) reopen(ctx context.Context, cause error, reconnected <-chan nats.Status) error {
	f.mu.Lock()
	last := f.gen
	f.gen = durable{} // nobody's, until there is a new one
	f.handle = ""
	f.room.Broadcast()
	f.mu.Unlock()
	wait := limits.FeedReopenFirst
	for {
		f.mu.Lock()
		prefix, taken := f.intake.Prefix(), f.taken
		f.mu.Unlock()
		octx, cancel := context.WithTimeout(ctx, 2*limits.JetStreamTime)
		lost := make(chan bool)
		go func() { // what was asked before a reconnect gets no answer
			select {
			case <-reconnected:
				cancel()
				lost <- true
			case <-octx.Done():
				lost <- false
			}
		}()
		gen, cons, err := f.d.reopen(octx, last, prefix, taken)
		cancel()
		if <-lost && err == nil {
			err = errors.New("reconnected meanwhile")
		}
		if err == nil {
			f.log.Info("feed reopened", "stream", f.d.stream, "consumer", f.d.name(gen), "from", prefix+1, "cause", cause)
			f.mu.Lock()
			select {
			case <-f.doubt: // of the old one
			default:
			}
			f.gen, f.cons = gen, cons
			f.intake.Opened(prefix)
			f.handled, f.acked, f.takenAt = prefix, prefix, time.Now()
			f.mu.Unlock()
			return nil
		}
		if errors.Is(err, bridge.ErrDeposed) || errors.Is(err, errRecreated) || f.nc.IsClosed() {
			return err
		}
		f.log.Warn("feed cannot be reopened yet", "stream", f.d.stream, "error", err, "cause", cause)
		select {
		case <-reconnected:
			wait = limits.FeedReopenFirst
		case <-ctx.Done():
			return ctx.Err()
		case <-f.done:
			return errors.New("closed")
		case <-time.After(wait):
			wait = min(2*wait, limits.FeedReopenMost)
		}
	}
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
	case bridge.Gap:
		f.suspectLocked(gen, fmt.Errorf("message %d of the consumer (delivery %d) came after %d", meta.Sequence.Consumer, meta.NumDelivered, f.intake.Consumed()))
	case bridge.Skip:
		f.rehandle(meta.Sequence.Stream, m.Reply())
	case bridge.Deliver:
		src := &bridge.Message{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Subject: m.Subject(), Data: m.Data()}
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
	srcs := make([]*bridge.Message, 0, limits.FeedBatch)
	msgs := make([]sending, 0, limits.FeedBatch)
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
			f.at(first + uint64(i)).sending = m
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
			if i < len(msgs) && !f.send(ctx, out, msgs[i].msg) {
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
func (f *feed) message(src *bridge.Message) sending {
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
	ctx := bridge.WithSource(f.base, src)
	var cancel context.CancelFunc
	if f.standalone {
		ctx, cancel = context.WithCancel(ctx)
	}
	m.SetContext(ctx)
	return sending{m, cancel}
}

// awaitAcks waits for the oldest messages that are out and moves the settled prefix.
func (f *feed) awaitAcks() {
	msgs := make([]*message.Message, 0, limits.FeedBatch)
	for {
		f.mu.Lock()
		for f.head == f.sent && !f.closed {
			f.unacked.Wait()
		}
		msgs = msgs[:0]
		for i := f.head; i < f.sent && len(msgs) < limits.FeedBatch; i++ {
			msgs = append(msgs, f.at(i).sending.msg)
		}
		f.mu.Unlock()
		if len(msgs) == 0 {
			return // closed
		}
		select {
		case <-msgs[0].Acked():
			n := 1
			for n < len(msgs) && acked(msgs[n]) {
				n++
			}
			f.pop(n)
		case <-msgs[0].Nacked():
			f.repeat()
		case <-f.done:
			return
		}
	}
}

func acked(m *message.Message) bool {
	select {
	case <-m.Acked():
		return true
	default:
		return false
	}
}

// repeat has the oldest event sent once more.
func (f *feed) repeat() {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.at(f.head)
	if e.sending.cancel != nil {
		e.sending.cancel()
	}
	e.sending = f.message(e.src)
	f.again = e.sending.msg
	f.unsent.Signal()
}

// pop takes the n oldest events out of the window: they are settled.
func (f *feed) pop(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		e := f.at(f.head)
		f.intake.Settle(e.src.Seq)
		if e.gen == f.gen {
			f.handle, f.handled = e.handle, e.src.Seq
		}
		if e.sending.cancel != nil {
			e.sending.cancel()
		}
		f.bytes -= e.size
		*e = entry{}
		f.head++
	}
	if f.waiting {
		f.room.Signal()
	}
	f.advanced(n)
}

// advanced acknowledges the settled prefix every now and then.
func (f *feed) advanced(n int) {
	f.pending += n
	switch {
	case f.pending >= min(limits.FeedAckEvents, max(1, f.window()/4)):
		f.acknowledge()
	case f.ackTimer == nil:
		f.ackTimer = time.AfterFunc(limits.FeedAckTime, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.ackTimer = nil
			f.acknowledge()
		})
	}
}

// acknowledge sends the newest handle of the settled prefix; nobody waits for it.
func (f *feed) acknowledge() {
	f.pending = 0
	if f.handle == "" || f.acked >= f.handled || f.holds() {
		return
	}
	if f.nc.Publish(f.handle, ackBody) == nil {
		f.acked = f.handled
	}
}

// confirm acknowledges with a confirmed request, also what has been sent before
// without: that may be lost.
func (f *feed) confirm(ctx context.Context) error {
	f.mu.Lock()
	handle, seq, gen := f.handle, f.handled, f.gen
	if f.holds() {
		handle = ""
	}
	f.pending = 0
	f.mu.Unlock()
	if handle == "" {
		return nil // nothing of the present durable is settled
	}
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	if _, err := f.nc.RequestWithContext(ctx, handle, ackBody); err != nil {
		return fmt.Errorf("acknowledge up to event %d: %w", seq, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gen == gen {
		f.acked = max(f.acked, seq)
	}
	return nil
}

// stop ends intake and sending; what is out can still be settled, except in
// stand-alone use.
func (f *feed) stop() {
	f.mu.Lock()
	f.stopped = true
	f.room.Broadcast()
	f.unsent.Broadcast()
	f.mu.Unlock()
	if f.standalone {
		f.end()
	}
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

func (f *feed) close() {
	f.end()
	f.wg.Wait()
	for { // what was settled while all ended
		f.mu.Lock()
		more := f.head < f.sent && acked(f.at(f.head).sending.msg)
		f.mu.Unlock()
		if !more {
			break
		}
		f.pop(1)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acknowledge()
}
