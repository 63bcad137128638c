package protocol

import (
	"time"

	"orderbridge/bridge/event"
)

// Output is what the machine wants done, one of the types of outputs.go, to be
// carried out in the order in which they come. None of them is waited for: what
// takes time is a request, which is answered by the input that it names.
type Output interface{ output() }

// Request is the part that all requests have. Each is answered once.
type Request struct {
	ID uint64 // unique within a term
}

func (Request) output() {}

// Number tells requests of all types apart.
func (r Request) Number() uint64 { return r.ID }

// Reply is what the answer to the request begins with.
func (r Request) Reply(err error) Reply { return Reply{r.ID, err} }

// ---- requests: the source stream

type (
	// SurveyStream asks what the stream says of the lease entry that was won (R15): StreamSurveyed.
	SurveyStream struct {
		Request
		Entry LeaseEntry
	}
	// OpenFeed asks for the feed's durable (R1), which begins after At: FeedOpened.
	OpenFeed struct {
		Request
		Epoch uint64
		At    event.Ref
	}
	// LookAtStream asks whether the stream is still the same (R15): StreamSeen.
	LookAtStream struct {
		Request
		Witnesses Witnesses
		Floor     event.Ref
	}
	// JudgeMessages asks which messages are still there (R15): MessagesJudged.
	JudgeMessages struct {
		Request
		Entries [][]event.Ref
	}
	// FindSequence asks for the first sequence stamped at or after a time: SequenceFound.
	FindSequence struct {
		Request
		Time time.Time
	}
	// AskRetention asks how near the stream is to dropping messages: RetentionTold.
	AskRetention struct {
		Request
		Fractions []float64
	}
	// ReadEvents asks for the next events of a subscription that reads: EventsRead.
	ReadEvents struct {
		Request
		Subscription, Tenant string
		From                 uint64
		Subjects             []string
		Most, MostBytes      int
	}
	// ConfirmSettled asks that the settled prefix is acknowledged: SettledConfirmed.
	ConfirmSettled struct{ Request }
	// KeepFrom asks the stream to keep what lies from there on (noLimit: nothing): StreamKeeps.
	KeepFrom struct {
		Request
		From uint64
	}
)

// ---- requests: the bridge's own state

type (
	// WriteLease asks to write the lease if its revision still is Expect (R3): LeaseWritten.
	WriteLease struct {
		Request
		Entry   LeaseEntry
		Expect  uint64
		WriteID string // the same for all copies of one write
	}
	// ReadLease asks for the lease as it stands: LeaseRead.
	ReadLease struct{ Request }
	// FenceBucket asks to make and fence a state bucket (R4): BucketFenced.
	FenceBucket struct {
		Request
		Bucket Bucket
		Epoch  uint64
		Term   string
	}
	// SealBucket asks to note that the bucket holds all that it should (R16): BucketSealed.
	SealBucket struct {
		Request
		Bucket Bucket
	}
	// CheckBucket asks whether the bucket is the one that was fenced (R16): BucketChecked.
	CheckBucket struct {
		Request
		Bucket Bucket
	}
	// LoadState asks for all entries of both state buckets (R9): StateLoaded.
	LoadState struct{ Request }
	// WriteEntry asks for one write to a state bucket (R4): EntryWritten.
	WriteEntry struct {
		Request
		Write Write
	}
	// FindRecord asks for the newest revision of a record: RecordFound.
	FindRecord struct {
		Request
		Subscription string
	}
)

// ---- requests: dead letters

type (
	// StoreLetter asks to store a dead letter (R14): LetterStored.
	StoreLetter struct {
		Request
		Letter DeadLetter
	}
	// RemoveLetter asks to remove one that was redriven (R14): LetterRemoved.
	RemoveLetter struct {
		Request
		Sequence uint64
	}
)

// ---- orders: nothing answers them

type (
	// StartAttempt begins an attempt, which ends with AttemptEnded.
	StartAttempt struct {
		Attempt    uint64 // its number, unique within a term
		Delivery   Delivery
		Sequence   uint64
		Message    event.Ref // as the ledger knows it; Time 0: not known
		Top        event.Ref // the highest message known (R15)
		DeadLetter uint64    // not 0: the event is read from this dead letter
		Probe      bool      // while the subscription is suspended
	}
	// CutAttempt ends an attempt at once; AttemptEnded follows all the same.
	CutAttempt struct{ Attempt uint64 }
	// SettleEvent says that nothing of an event is owed in memory any more.
	SettleEvent struct {
		Sequence uint64
		Tag      uint64 // of EventTaken
	}
	// StartFeed lets the feed begin (R9): from now on events may be taken in.
	StartFeed struct{}
	// WatchRecords lets the records come: RecordSeen for each, then RecordsCaughtUp.
	WatchRecords struct{}
	// NoteMessage tells the feed of a message that others have seen in the stream (R15).
	NoteMessage struct{ Message event.Ref }
	// HoldAcks lets the feed acknowledge nothing from there on (noLimit: all that is settled).
	HoldAcks struct{ From uint64 }
	// HoldAttempts moves the boot time at which attempts are cut because the lease is not sure any more (R10).
	HoldAttempts struct{ Until time.Duration }
	// ForgetReader drops what is kept of a subscription's place in the stream.
	ForgetReader struct{ Subscription string }
	// RaiseAlert tells operators something.
	RaiseAlert struct{ Alert Alert }
	// Answer ends a command of an operator.
	Answer struct {
		Command uint64
		Err     error // nil: it is confirmed
		Done    Done
	}
	// ReplayAttempted ends a ReplayAttempt.
	ReplayAttempted struct {
		Command uint64
		Outcome Outcome
		Waits   bool // the endpoint fails as a whole: nothing more is sent to it for now
	}
	// ListingCompared answers RecordsListed.
	ListingCompared struct {
		All bool // false: some records were just being applied, ask again
	}
	// Log is a line for people.
	Log struct {
		Level   Level
		Message string
		Args    []any
	}
	// AttemptTold is what the log says of an attempt that ended.
	AttemptTold struct {
		Subscription, Order string
		Sequence            uint64
		Delivery            *Delivery
		Outcome             Outcome
		Ran, RetryIn        time.Duration
		First               bool // the first success since the record was put
		Aloud               bool // else it matters for debugging only
	}
	// SupersededTold is what the delivery log says of a delivery that a newer one
	// of the same order made needless.
	SupersededTold struct {
		Delivery *Delivery // its event may be unknown
		Order    string
		Sequence uint64
		Message  event.Ref // Time 0: not known
	}
	// EndTerm is the last output of a term. Cause is nil if all was handed over.
	EndTerm struct{ Cause error }
)

func (*StartAttempt) output()   {}
func (CutAttempt) output()      {}
func (SettleEvent) output()     {}
func (StartFeed) output()       {}
func (WatchRecords) output()    {}
func (NoteMessage) output()     {}
func (HoldAcks) output()        {}
func (HoldAttempts) output()    {}
func (ForgetReader) output()    {}
func (RaiseAlert) output()      {}
func (Answer) output()          {}
func (ReplayAttempted) output() {}
func (ListingCompared) output() {}
func (Log) output()             {}
func (*AttemptTold) output()    {}
func (*SupersededTold) output() {}
func (EndTerm) output()         {}
