package subscribers

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/internal/limits"
)

var ackBody = []byte("+ACK")

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
			msgs = append(msgs, f.at(i).msg)
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
			f.settled(n)
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
	e.msg = f.message(e.src)
	f.again = e.msg
	f.unsent.Signal()
}

// settled takes the n oldest events out of the window, of which that is known.
func (f *feed) settled(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pop(n)
}

// pop takes the n oldest events out of the window: they are settled.
func (f *feed) pop(n int) {
	for range n {
		e := f.at(f.head)
		f.intake.Settle(e.src.Seq)
		if e.gen == f.gen {
			f.handle, f.handled = e.handle, e.src.Seq
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
