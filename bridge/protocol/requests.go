package protocol

import (
	"errors"
	"fmt"
	"time"
)

// Until the answer is definite: a request whose outcome is not known is sent
// again as it was, after a pause, for as long as it takes. What an answer tells
// of the stream counts only once the stream was the same after it (R15): such
// answers wait for a look.

// request is one that is under way, or waits to be sent again.
type request struct {
	out   asking
	sub   *sub   // whom it concerns: once that is dead nobody waits for the answer; nil: the machine
	until string // it is sent again until the answer is definite; what people are told meanwhile. "": asked once
	args  []any  // of that line
	step  bool   // of the take-over, which is tried again from where it stands

	key     *keyWriter // of WriteEntry
	lane    *lane      // of a letter
	item    *item      // likewise
	reader  *reader    // of ReadEvents
	round   int        // of the reader or the bucket, when it was sent
	unknown bool       // a copy may have landed, or may yet land
	quiet   bool       // people need not be told
	moving  *moving
	buried  buried    // of a letter of a vanished event
	time    time.Time // of the deletion, for FindRecord
	done    bool      // of WriteLease, ConfirmSettled: it frees the lease
	refused *request  // of ReadLease
}

// asking is an output that is answered.
type asking interface {
	Output
	Number() uint64
}

func (c *Machine) newRequest() Request {
	c.requestN++
	return Request{c.requestN}
}

// ask sends a request.
func (c *Machine) ask(q request) { c.send(&q) }

func (c *Machine) send(q *request) {
	if q.sub != nil && q.sub.mode == gone {
		return
	}
	switch out := q.out.(type) {
	case WriteEntry:
		x := &c.buckets[out.Write.Bucket]
		if x.fencing { // the bucket is being made again
			x.held = append(x.held, q)
			return
		}
		q.round = x.round
	case SealBucket:
		if x := &c.buckets[out.Bucket]; x.fencing || x.round != q.round {
			return // another one, which is sealed when it is filled
		}
	case FenceBucket:
		if !q.step && c.now.Boot >= c.leaseEnd-c.Margin {
			c.end(ErrLeaseOver)
			return
		}
	}
	c.requests[q.out.Number()] = q
	c.emit(q.out)
}

// again sends it once more, after a pause.
func (c *Machine) again(q *request) { c.after(c.Busy, timer{what: dueRequest, ask: q}) }

// answered finds the request that an input answers.
func (c *Machine) answered(in reply) {
	r := in.reply()
	q := c.requests[r.To]
	if q == nil {
		return
	}
	delete(c.requests, r.To)
	switch {
	case q.sub != nil && q.sub.mode == gone:
	case r.Err != nil && q.step:
		c.takeOverLater(q, r.Err)
	case r.Err != nil && q.until != "":
		c.unanswered(q, r.Err)
	case r.Err == nil && c.needsLook(q, in):
		c.sure(held{in, q})
	default:
		c.answer(q, in)
	}
}

// unanswered: it is not known what became of it.
func (c *Machine) unanswered(q *request, err error) {
	if errors.Is(err, ErrDeposed) {
		c.deposed(q, err)
		return
	}
	if _, ok := q.out.(StoreLetter); ok && q.lane != nil && !c.letterWaits(q) {
		return
	}
	whom := ""
	if q.sub != nil {
		whom = q.sub.id
	}
	if q.quiet {
		c.log(Debug, q.until, append(q.args, "error", err)...)
	} else {
		c.complain(q.until, whom, append(q.args, "error", err)...)
	}
	c.again(q)
}

// deposed: the server refused a write, since another leader's is newer.
func (c *Machine) deposed(q *request, err error) {
	switch out := q.out.(type) {
	case WriteLease: // definite: it may be written again, as another write (R16)
		c.leaseRefused(q)
	case FenceBucket:
		c.end(fmt.Errorf("fence bucket %s: %w", out.Bucket, err))
	default:
		c.end(fmt.Errorf("%s: %w", q.until, err))
	}
}

// answer takes a definite answer to where it belongs.
func (c *Machine) answer(q *request, in Input) {
	switch in := in.(type) {
	case EntryWritten:
		c.entryWritten(q, in.Err)
	case EventsRead:
		q.sub.eventsRead(q, in)
	case StreamSeen:
		if q.step {
			c.compared(in.Look)
		} else {
			c.looked(q, in)
		}
	case LeaseWritten:
		c.leaseWritten(q, in)
	case LeaseRead:
		c.leaseRead(q, in)
	case LetterStored:
		if q.moving != nil {
			q.moving.letterStored(q)
		} else {
			c.letterStored(q)
		}
	case LetterRemoved:
		q.lane.letterRemoved(q.item)
	case SequenceFound:
		c.sequenceFound(q, in)
	case RetentionTold:
		if q.step {
			c.gapTold(in.Retention)
		} else {
			c.retentionTold(in)
		}
	case SettledConfirmed:
		if q.done {
			c.freeLease()
		}
	case StreamKeeps:
		if in.Err != nil {
			c.kept = false // tried again in a second
			c.log(Debug, "what is owed is kept by the stream's limits only", "error", in.Err)
		}
	case BucketFenced:
		if q.step {
			c.fenced(in.Made)
		} else {
			c.fencedAgain(q.out.(FenceBucket).Bucket, in.Made)
		}
	case BucketSealed:
		c.bucketSealed(q, in.Err)
	case BucketChecked:
		c.bucketChecked(q, in.Err)
	case RecordFound:
		c.debtsJudged(q, in)
	case StreamSurveyed:
		c.surveyed(&in.Survey)
	case FeedOpened:
		c.feedOpened(in.At)
	case StateLoaded:
		c.loaded(in.State)
	case MessagesJudged:
		c.claimsJudged(in.Highest)
	}
}

// ---- what counts only once the stream was the same after it

// held waits for a look at the stream.
type held struct {
	in Input
	q  *request // that it answers; nil: none
}

func (c *Machine) needsLook(q *request, in Input) bool {
	switch in := in.(type) {
	case SequenceFound, MessagesJudged:
		return !q.step || c.step == judging
	case RetentionTold:
		return in.Err == nil
	case EventsRead:
		return !in.Reading.Sure
	}
	return false
}

// sure takes an input once the stream was the same in an answer that came after it.
func (c *Machine) sure(h held) {
	c.doubtful = append(c.doubtful, h)
	c.lookNow()
}

// isSure: it was.
func (c *Machine) isSure(h held) {
	switch in := h.in.(type) {
	case FeedEnded:
		c.end(errFeedEnded)
	case *AttemptEnded:
		c.attemptEnded(in)
	case *Adopt:
		c.adoptSure(in)
	case Tick: // nothing but the look was wanted
	default:
		if h.q != nil && (h.q.sub == nil || h.q.sub.mode != gone) {
			c.answer(h.q, in)
		}
	}
}
