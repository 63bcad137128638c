package protocol

import (
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Input is what happens to the machine, one of the types of inputs.go.
type Input interface{ input() }

// Reply is the part that all answers to requests have.
type Reply struct {
	To  uint64 // ID of the request
	Err error  // nil, or one that ports.go names; any other: it is unknown whether it happened
}

func (Reply) input()         {}
func (r Reply) reply() Reply { return r }

// reply is an input that answers a request.
type reply interface {
	Input
	reply() Reply
}

// ---- answers

type (
	// StreamSurveyed answers SurveyStream.
	StreamSurveyed struct {
		Reply
		Survey Survey
	}
	// FeedOpened answers OpenFeed.
	FeedOpened struct {
		Reply
		At event.Ref // the message at the position, if it is there
	}
	// StreamSeen answers LookAtStream.
	StreamSeen struct {
		Reply
		Look Look
	}
	// MessagesJudged answers JudgeMessages.
	MessagesJudged struct {
		Reply
		Highest []int // of each entry, the index of the last message that is there; -1: none
	}
	// SequenceFound answers FindSequence.
	SequenceFound struct {
		Reply
		Sequence uint64
		Last     event.Ref // the last message of the stream
	}
	// RetentionTold answers AskRetention.
	RetentionTold struct {
		Reply
		Retention Retention
	}
	// EventsRead answers ReadEvents.
	EventsRead struct {
		Reply
		Events  []*event.Event
		Reading Reading
	}
	// SettledConfirmed answers ConfirmSettled.
	SettledConfirmed struct{ Reply }
	// StreamKeeps answers KeepFrom.
	StreamKeeps struct{ Reply }
	// LeaseWritten answers WriteLease.
	LeaseWritten struct {
		Reply
		Revision uint64
	}
	// LeaseRead answers ReadLease.
	LeaseRead struct {
		Reply
		Sight LeaseSight
	}
	// BucketFenced answers FenceBucket.
	BucketFenced struct {
		Reply
		Made Made
	}
	// BucketSealed answers SealBucket.
	BucketSealed struct{ Reply }
	// BucketChecked answers CheckBucket.
	BucketChecked struct{ Reply }
	// StateLoaded answers LoadState.
	StateLoaded struct {
		Reply
		State *Loaded
	}
	// EntryWritten answers WriteEntry.
	EntryWritten struct{ Reply }
	// RecordFound answers FindRecord.
	RecordFound struct {
		Reply
		Revision Revision
	}
	// LetterStored answers StoreLetter.
	LetterStored struct{ Reply }
	// LetterRemoved answers RemoveLetter.
	LetterRemoved struct{ Reply }
)

// ---- what happens by itself

type (
	// Start begins the take-over (R9): the lease is won.
	Start struct{}
	// Tick says that time has passed: see Machine.Next.
	Tick struct{}
	// EventTaken is the feed's next event in stream order, matched against the directory as of Version.
	EventTaken struct {
		Event   *event.Event
		Matches []*record.Subscription // by id
		Version uint64
		Tag     uint64 // comes back with SettleEvent
	}
	// FeedEnded says that the feed has given up.
	FeedEnded struct{}
	// AttemptEnded is what became of an attempt.
	AttemptEnded struct {
		Attempt uint64
		Outcome Outcome
		Event   *event.Event // nil: it could not be read, or was delivered as StartAttempt had it
		Known   string       // of a redrive: Delivery.Known
	}
	// AttemptWeighed says how large the event of an attempt is that had to be read.
	AttemptWeighed struct {
		Attempt uint64
		Bytes   int64
	}
	// RecordSeen is a revision of the records' bucket, with what the parser made
	// of it. Revisions of one key come in the order of the bucket; one that was
	// seen before does no harm.
	RecordSeen struct {
		Revision Revision
		Record   *record.Subscription // nil if it cannot be used
		Problems record.Problems
	}
	// RecordReread is the newest revision once more: what the parser makes of it may have changed.
	RecordReread struct {
		Revision Revision
		Record   *record.Subscription
		Problems record.Problems
	}
	// RecordsPassed says that all revisions up to there were seen that are of this
	// shard's records. Where there are other shards, it comes once in a while, and
	// before RecordsCaughtUp.
	RecordsPassed struct {
		Bucket   int64 // as in Revision
		Revision uint64
	}
	// RecordsCaughtUp says that all revisions that the bucket holds were seen.
	RecordsCaughtUp struct{}
	// RecordsMissing says that the records' bucket is gone, or there again.
	RecordsMissing struct{ Missing bool }
	// RecordsListed says which records the bucket holds: ListingCompared.
	RecordsListed struct{ Listing *Listing }
	// RoomChanged says how much the server allows.
	RoomChanged struct {
		Window int   // unsettled events of the feed; 0: no change
		Ledger int64 // bytes; 0: no change
	}
	// StreamLoses says why the stream deletes what is owed; "": it does not (any more).
	StreamLoses struct{ Why string }
	// BusAlert is something about the bus that operators are to be told.
	BusAlert struct{ Kind, What, Text string }
	// Stop asks for a graceful stop (R10b), which ends with EndTerm.
	Stop struct{}
)

// ---- commands of operators: Answer ends them

type (
	// Redrive puts a dead letter back as owed.
	Redrive struct {
		Command  uint64
		Letter   DeadLetter
		Sequence uint64 // in the dead-letter stream
	}
	// Adopt acknowledges a changed stream (R15).
	Adopt struct {
		Command  uint64
		Adoption Adoption
	}
	// Rewind sets a subscription back: it owes everything from there on.
	Rewind struct {
		Command      uint64
		Subscription string
		From         uint64
	}
	// ReplayAttempt asks for one attempt of what a replay sends again:
	// ReplayAttempted, as soon as the subscription may start one.
	ReplayAttempt struct {
		Command      uint64 // its number, unique within a term
		Replay       string // its id
		Subscription string
		Generation   uint64
		Event        *event.Event
		Attempt      int  // 1 for the first
		NewID        bool // the delivery does not keep the id that it had
	}
	// EndReplay withdraws what a replay has asked for and what is not begun.
	EndReplay struct{ Subscription, Replay string }
	// RetryNow ends what subscriptions, or one order of each, wait for: Done says how many waited.
	RetryNow struct {
		Command       uint64
		Subscriptions []string
		Named         bool   // the caller named the one: the answer says why nothing can be done for it
		Order         string // id, or the token of its lane; "": all
	}
	// SkipHead makes the head of an order that waits a dead letter (R14): Done says which event.
	SkipHead struct {
		Command      uint64
		Subscription string
		Order        string // id, or the token of its lane
		Sequence     uint64 // that the head must have; 0: any
		Reason       string // of the dead letter
	}
	// AlertsHeard says how alerts come to a subscription that hears them: what the last
	// attempt came to, which others make.
	AlertsHeard struct {
		Subscription string
		Trouble      AlertTrouble
	}
)

func (Start) input()           {}
func (Tick) input()            {}
func (*EventTaken) input()     {}
func (FeedEnded) input()       {}
func (*AttemptEnded) input()   {}
func (AttemptWeighed) input()  {}
func (*RecordSeen) input()     {}
func (*RecordReread) input()   {}
func (RecordsPassed) input()   {}
func (RecordsCaughtUp) input() {}
func (RecordsMissing) input()  {}
func (RecordsListed) input()   {}
func (RoomChanged) input()     {}
func (StreamLoses) input()     {}
func (BusAlert) input()        {}
func (Stop) input()            {}
func (*Redrive) input()        {}
func (*Adopt) input()          {}
func (Rewind) input()          {}
func (*ReplayAttempt) input()  {}
func (EndReplay) input()       {}
func (*RetryNow) input()       {}
func (*SkipHead) input()       {}
func (AlertsHeard) input()     {}

// Now is what the clocks say when an input comes.
type Now struct {
	Boot time.Duration // since boot, suspend included (R10)
	Wall time.Time
}
