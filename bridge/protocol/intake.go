package protocol

import "sort"

// # R2 Intake
//
// A message is taken in only if its consumer sequence is the last one + 1 on the present durable, and its stream
// sequence is higher than any that was ever taken in. A message that was taken in before (from an earlier durable) is
// skipped. A gap, a redelivery, a stream sequence that does not rise, a reconnect, or, looked at every 5 s while nothing
// comes, a server that says it has delivered more than came: the feed is reopened (R1), and nothing of the old durable
// counts any more. An acknowledgement is sent only for what came on the present durable.

// Taking is what becomes of a message that the feed's durable delivered.
type Taking int

const (
	// Deliver: new; it is now taken in and unsettled.
	Deliver Taking = iota
	// Skip: taken in before, by an earlier durable. Its acknowledgement handle
	// may be used, the message itself not.
	Skip
	// Gap: messages before it are missing on this durable, it is a redelivery, or
	// lies below the one before it, so that the stream has lost its end. Nothing from this durable may be taken in or acknowledged any
	// more: make a new one at Prefix()+1 and call Opened.
	Gap
)

// Intake is the bookkeeping of a feed, without I/O (R2, R3): which messages of
// the current durable are taken in, and how far the taken-in ones are settled.
// Stream sequences may have holes, consumer sequences may not. The zero value
// is ready for Opened. It is not safe for concurrent use.
type Intake struct {
	consumed uint64 // last consumer sequence on the current durable
	last     uint64 // its stream sequence
	taken    uint64 // highest stream sequence ever taken in
	prefix   uint64
	broken   bool // a Gap was seen: wait for Opened

	open []intakeEntry // taken in and above the prefix, ascending, from head on
	head int
}

type intakeEntry struct {
	seq     uint64
	settled bool
}

// Opened tells that a new durable begins after stream sequence floor. The first
// call fixes the position; at a reopening floor is Prefix().
func (in *Intake) Opened(floor uint64) {
	in.consumed, in.last, in.broken = 0, 0, false
	in.taken = max(in.taken, floor)
	if len(in.open) == in.head {
		in.prefix = max(in.prefix, floor)
	}
}

// Take judges a message of the current durable by its consumer sequence (from
// 1), its stream sequence and whether the server says that it has been
// delivered before.
func (in *Intake) Take(consumerSeq, streamSeq uint64, redelivered bool) Taking {
	if in.broken || redelivered || consumerSeq != in.consumed+1 || streamSeq <= in.last {
		in.broken = true
		return Gap
	}
	in.consumed, in.last = consumerSeq, streamSeq
	if streamSeq <= in.taken {
		return Skip
	}
	in.taken = streamSeq
	if in.head > 0 && len(in.open) == cap(in.open) {
		in.open = in.open[:copy(in.open, in.open[in.head:])]
		in.head = 0
	}
	in.open = append(in.open, intakeEntry{seq: streamSeq})
	return Deliver
}

// Settle marks a taken-in message as settled; one that is not open changes nothing.
func (in *Intake) Settle(seq uint64) {
	open := in.open[in.head:]
	i := sort.Search(len(open), func(i int) bool { return open[i].seq >= seq })
	if i == len(open) || open[i].seq != seq {
		return
	}
	open[i].settled = true
	for in.head < len(in.open) && in.open[in.head].settled {
		in.prefix = in.open[in.head].seq
		in.head++
	}
	if in.head == len(in.open) {
		in.open, in.head = in.open[:0], 0
	}
}

// Prefix is the settled prefix: all that was taken in up to it is settled.
func (in *Intake) Prefix() uint64 { return in.prefix }

// Taken is the highest stream sequence ever taken in, or the position if none.
func (in *Intake) Taken() uint64 { return in.taken }

// Consumed is the last consumer sequence seen on the current durable. A server
// that has delivered more while nothing is under way has lost some: a Gap.
func (in *Intake) Consumed() uint64 { return in.consumed }

// unsettled is the number of messages taken in above the prefix, settled ones included.
func (in *Intake) unsettled() int { return len(in.open) - in.head }
