package limits

import "time"

// The protocol; `bridge` has them in a struct, since its simulation runs in a
// smaller world.
const (
	WindowEvents      = 4096
	WindowDeliveries  = 8192
	LaneReferences    = 256
	LanesLeast        = 1024
	LanesMost         = 16384
	LanesHeld         = 65536
	ReaderDeliveries  = 256
	ReaderBytes       = 1 << 20
	ReadersBytes      = 48 << 20
	ParkedLanes       = 64
	RevisionsApplying = 512
	AttemptsRunning   = 8192
	IdleWorkers       = 1024
	LeaseTime         = 10 * time.Second
	LeaseMargin       = time.Second
	LeaseRenewal      = time.Second
	LeaseStale        = 2 * time.Second
	ParkAfter         = time.Second
	ParkSoonAfter     = 300 * time.Millisecond
	ClockOverlap      = 2 * time.Second
	DeletedKept       = 24 * time.Hour
	CoreTick          = 100 * time.Millisecond
	ReaderPoll        = 100 * time.Millisecond
	StopDrain         = 18 * time.Second
	StopFreeze        = 750 * time.Millisecond
	StopLast          = 19500 * time.Millisecond
	BusyPause         = 100 * time.Millisecond
	ProbeFirst        = 5 * time.Second
	ProbeLast         = 5 * time.Minute
	BreakerFailures   = 5
	BucketWatch       = 2 * time.Second
	RetentionWatch    = 10 * time.Second
	StreamWatch       = 3 * time.Second
	RampRate          = 10
	RampDouble        = 5 * time.Second
	RampTime          = time.Minute
	RestAfter         = 2 * time.Minute
	RestLooks         = 64
)

func core() []Limit {
	return part("The protocol",
		row("WindowEvents", count(WindowEvents), process, "events of the feed that are not settled", "the feed takes no more until some are", "ORDERBRIDGE_WINDOW", "TestFeedWindow"),
		row("WindowDeliveries", count(WindowDeliveries), process, "deliveries in memory that these owe", "an event with more matches is expanded step by step"),
		row("LaneReferences", count(LaneReferences), "an order", "changes that wait in one held lane", "the subscription reads the stream for itself", "TestSimulation"),
		row("LanesLeast", count(LanesLeast), subscription, "orders that fail and wait, whatever the others hold", "see LanesMost", "TestCrowdedOut"),
		row("LanesMost", count(LanesMost), subscription, "orders that fail and wait, within its share of LanesHeld and of OwedBytes", "what fails is a dead letter at once if the endpoint serves the others, else the subscription stands still", "TestCrowdedOut"),
		row("LanesHeld", count(LanesHeld), process, "orders that fail and wait; one tenant alone 5/8", "a subscription of it has LanesLeast then", "TestCrowdedOut"),
		row("ReaderDeliveries", count(ReaderDeliveries), subscription, "deliveries in memory while it reads the stream for itself", "it reads on when some are settled"),
		row("ReaderBytes", size(ReaderBytes), subscription, "one read of the stream", "the rest is the next read"),
		row("ReadersBytes", size(ReadersBytes), process, "payloads that all readers have in memory; one tenant alone 3/4", "its readers wait for their turn, others read on"),
		row("ParkedLanes", count(ParkedLanes), subscription, "lanes that are written to the ledger at one time", "it reads the stream for itself"),
		row("RevisionsApplying", count(RevisionsApplying), process, "revisions of records that are applied at the same time", "the others wait"),
		row("AttemptsRunning", count(AttemptsRunning), process, "attempts at the same time; one tenant alone 5/6, one subscription 2/3", "its subscriptions wait for their turn, others start at once", "TestAttackTarpit"),
		row("IdleWorkers", count(IdleWorkers), process, "goroutines that have ended an attempt and wait for another", "the goroutine ends; the next attempt begins with a new one"),
		row("LeaseTime", lasts(LeaseTime), process, "how long a leader is the leader without a renewal", "it sends nothing; another takes over 2s later", "TestSecondBridgeTakesOverFromOneThatIsStopped"),
		row("LeaseMargin", lasts(LeaseMargin), attempt, "time before the end of the lease", "the attempt is cut"),
		row("LeaseRenewal", lasts(LeaseRenewal), process, "time between two renewals, which say what is settled", "a crash repeats what was settled since"),
		row("LeaseStale", lasts(LeaseStale), process, "time without a confirmed renewal", "no attempt starts", "TestSimulation"),
		row("ParkAfter", lasts(ParkAfter), delivery, "time in memory while others of its event are settled, or the window is half full", "it is written to the ledger", "TestHangingEndpointDelaysNobody"),
		row("ParkSoonAfter", lasts(ParkSoonAfter), delivery, "the same, where the endpoint gives no answer", "it is written to the ledger"),
		row("ClockOverlap", lasts(ClockOverlap), process, "difference between the clocks of publishers and operators that is allowed for", "changes of records act so much earlier or later"),
		row("DeletedKept", lasts(DeletedKept), recordScope, "time for which what a deleted record owes is kept", "it is dropped", "TestLifeOfARecord"),
		row("CoreTick", lasts(CoreTick), process, "time between two looks at what is due", "-"),
		row("ReaderPoll", lasts(ReaderPoll), subscription, "time between two reads that found nothing", "-"),
		row("StopDrain", lasts(StopDrain), process, "time of a stop for attempts that run", "what still runs is cut and written down", "ORDERBRIDGE_SHUTDOWN_TIMEOUT", "TestStopCutsHangingAttempts"),
		row("StopFreeze", lasts(StopFreeze), process, "time of a stop in which nothing starts", "what still runs is cut and written down"),
		row("StopLast", lasts(StopLast), process, "time of a stop until the lease is freed", "what is not confirmed is left as after a crash", "ORDERBRIDGE_SHUTDOWN_TIMEOUT"),
		row("BusyPause", lasts(BusyPause), process, "time until a refused or unanswered request to the bus is repeated", "-"),
		row("ProbeFirst", lasts(ProbeFirst), subscription, "time until a failing endpoint is probed", "-"),
		row("ProbeLast", lasts(ProbeLast), subscription, "time between two probes", "-"),
		row("BreakerFailures", count(BreakerFailures), subscription, "failures in a row, of two orders at least, where none failed before", "the breaker opens"),
		row("BucketWatch", lasts(BucketWatch), process, "time between two looks at the state buckets", "-"),
		row("RetentionWatch", lasts(RetentionWatch), process, "time between two looks at the limits of the stream", "-"),
		row("StreamWatch", lasts(StreamWatch), process, "time between two looks at which stream it is", "-"),
		row("RampRate", count(RampRate, "a second"), subscription, "attempts after a long outage", "they wait"),
		row("RampDouble", lasts(RampDouble), subscription, "time until that rate doubles", "-"),
		row("RampTime", lasts(RampTime), subscription, "time until full speed", "-"),
		row("RestAfter", lasts(RestAfter), subscription, "time after which what a breaker knows of a good endpoint is forgotten", "-"),
		row("RestLooks", count(RestLooks), process, "subscriptions looked at in a tick, at least, whether they can rest", "-"),
	)
}

// What tenants and subscriptions share beside the attempts, the readers' bytes
// and the waiting orders of the protocol: see bridge/protocol/shares.go.
const (
	FlightBytes      = 64 << 20
	UnreadEventBytes = 1 << 20
)

func shares() []Limit {
	return part("Shares of tenants and subscriptions",
		row("FlightBytes", size(FlightBytes), process, "events of the attempts under way; one tenant alone 5/6", "its subscriptions wait for their turn, others start at once", "TestAttackTarpit"),
		row("UnreadEventBytes", size(UnreadEventBytes), attempt, "what an event counts as until it is read from the stream", "the count is wrong for a moment"),
	)
}

// What a subscription has in the core, and what is said of it.
const (
	MarkEnds         = 128
	MarkSpans        = 4096
	RetryAfter       = 24 * time.Hour
	SlowAnswer       = 500 * time.Millisecond
	ParkAnyway       = 600 * time.Millisecond
	PaceNotable      = 2 * time.Second
	BreakerMemory    = 128
	BreakerMost      = 64
	BreakerFlowTime  = 10 * time.Second
	BreakerSettles   = 15 * time.Second
	BreakerShort     = 15 * time.Second
	CrowdPatience    = 3
	LetterKinds      = 8 // of one subscription; the rest is one more kind
	LetterLines      = 10
	LetterTick       = 5 * time.Second
	LetterEnd        = 10 * time.Minute // none for so long: over
	LetterFilterEnd  = 15 * time.Second // likewise, for filters that give answers
	LetterKeep       = time.Hour        // a kind that comes again within it is the same
	InvalidLines     = 20
	InvalidTime      = 10 * time.Second
	InvalidText      = 1000
	CensusTime       = 3 * time.Second
	BehindRecords    = 32
	StreamChanges    = 8 // that are kept until they are acknowledged
	BurialsAtOnce    = 64
	StopLanes        = 512
	StopOldAttempt   = time.Second            // older ones keep their subscription from starting another while it drains
	StopCutTime      = 200 * time.Millisecond // until what was cut must have come back
	LeaveDeliver     = 2 * time.Second        // what is in memory may still be delivered
	LeaveFreeze      = 500 * time.Millisecond
	LeaveLast        = 3 * time.Second // after that, whatever is confirmed
	LookGap          = 20 * time.Millisecond
	EntriesJudgeTime = 2 * time.Minute
	TermCallTime     = 5 * time.Second
	TermLoadTime     = 2 * time.Minute
	CheckpointAges   = 21
)

func subscriptions() []Limit {
	return part("Subscriptions",
		row("MarkEnds", count(MarkEnds), subscription, "messages that a mark tells", "the newest are told"),
		row("MarkSpans", count(MarkSpans), subscription, "intervals of the mark that takes the place of a deleted record's entries", "the entries stay, for a day", "TestSimulation"),
		row("RetryAfter", lasts(RetryAfter), subscription, "Retry-After", "it counts as that", "TestRetryAfterBothForms"),
		row("SlowAnswer", lasts(SlowAnswer), endpoint, "usual time of an answer of a fast endpoint", "it is not waited for"),
		row("ParkAnyway", lasts(ParkAnyway), delivery, "time for an endpoint that usually needs long", "it is written to the ledger"),
		row("PaceNotable", lasts(PaceNotable), subscription, "pauses that a successor need not know", "they are written down"),
		row("BreakerMemory", count(BreakerMemory, "attempts"), subscription, "what the breaker remembers", "the oldest are forgotten"),
		row("BreakerMost", count(BreakerMost), subscription, "failures in a row, at any rate of failures before", "the breaker opens", "TestBreakerStories"),
		row("BreakerFlowTime", lasts(BreakerFlowTime), subscription, "memory of its rate", "older successes count less"),
		row("BreakerSettles", lasts(BreakerSettles), subscription, "time without a failure after an outage", "sooner, it is the same outage"),
		row("BreakerShort", lasts(BreakerShort), subscription, "an outage without a slow start", "the slow start"),
		row("CrowdPatience", count(CrowdPatience), "order", "failures of the head of a lane that holds up its subscription", "it is a dead letter"),
		row("LetterKinds", count(LetterKinds), subscription, "kinds of dead letters that are told apart", "the rest is one more kind", "TestKindsOfDeadLetters"),
		row("LetterLines", count(LetterLines), subscription, "dead letters of a kind that are logged one by one in a while", "counted"),
		row("LetterTick", lasts(LetterTick), subscription, "time until what was counted is shown", "it is shown"),
		row("LetterEnd", lasts(LetterEnd), subscription, "time without a dead letter of a kind", "it is over", "TestKindsOfDeadLetters"),
		row("LetterFilterEnd", lasts(LetterFilterEnd), subscription, "the same, of a filter that gives answers again", "it is over"),
		row("LetterKeep", lasts(LetterKeep), subscription, "time in which a kind that comes again is the same", "it is told as new"),
		row("InvalidLines", count(InvalidLines), process, "invalid records that are logged in InvalidTime", "counted", "TestInvalidRecordsAreLogged"),
		row("InvalidTime", lasts(InvalidTime), process, "that time", "-"),
		row("InvalidText", count(InvalidText, "bytes"), recordScope, "what is logged of what is wrong with it", "cut; the status has all"),
		row("CensusTime", lasts(CensusTime), process, "time between two counts of the records, if counting is quick", "-"),
		row("BehindRecords", count(BehindRecords), process, "records that the lease names as behind the others", "they hold the common revision back"),
		row("StreamChanges", count(StreamChanges), process, "changes of the stream that are kept until acknowledged", "the oldest are forgotten"),
		row("BurialsAtOnce", count(BurialsAtOnce), process, "dead letters stored at the same time when events vanished", "the others wait"),
		row("StopLanes", count(StopLanes), process, "lanes that a stop writes one by one", "those with the most read the stream instead"),
		row("StopOldAttempt", lasts(StopOldAttempt), subscription, "age of an attempt while the bridge stops", "its subscription starts no other"),
		row("StopCutTime", lasts(StopCutTime), process, "time until what was cut has come back", "it is written down as it was"),
		row("LeaveDeliver", lasts(LeaveDeliver), process, "time for what is in memory when the stream has changed", "it is written down"),
		row("LeaveFreeze", lasts(LeaveFreeze), process, "then, nothing starts", "it is cut"),
		row("LeaveLast", lasts(LeaveLast), process, "all of that", "the next term follows"),
		row("LookGap", lasts(LookGap), process, "pause between two looks at the stream", "-"),
		row("EntriesJudgeTime", lasts(EntriesJudgeTime), process, "the look-up of what entries tell of the stream", "it is tried again"),
		row("TermCallTime", lasts(TermCallTime), process, "one request of a leader to the bus", "it is tried again"),
		row("TermLoadTime", lasts(TermLoadTime), process, "reading a state bucket", "it is tried again"),
		row("CheckpointAges", count(CheckpointAges), process, "former floors in the lease, one for each power of two of age", "the oldest of each age stays"),
	)
}

// What dead letters of one owner (the tenant of the event, else the
// subscription) take of their stream.
const (
	LetterRoomShares = 16
	LetterRoomTime   = 24 * time.Hour
	LetterRoomLook   = 5 * time.Second
	LetterRoomSay    = 10 * time.Minute
	LetterRoomOwners = 4096
	LetterSmallBytes = 1 << 10
)

func letters() []Limit {
	const refers = "where the stream is half full, the letter refers to the event and does not hold it"
	return part("Dead letters",
		row("LetterRoomShares", "1/"+count(LetterRoomShares), tenant, "part of the stream that its dead letters may take in LetterRoomTime beyond the first half", refers, "TestLettersShareTheirStream"),
		row("LetterRoomTime", lasts(LetterRoomTime), tenant, "time until that part is free again", refers, "TestLettersShareTheirStream"),
		row("LetterRoomLook", lasts(LetterRoomLook), process, "time between two looks at how full the stream is", "what was known, and what was stored since, counts", "TestLettersShareTheirStream"),
		row("LetterRoomSay", lasts(LetterRoomSay), tenant, "time between two warnings of that", "not logged", "TestLettersShareTheirStream"),
		row("LetterRoomOwners", count(LetterRoomOwners), process, "owners that are known", "the one that stored least is forgotten", "TestLettersShareTheirStream"),
		row("LetterSmallBytes", size(LetterSmallBytes), event, "events that letters always hold", refers, "TestLettersShareTheirStream"),
	)
}
