package limits

import "time"

// The feed and the readers of the source stream.
const (
	WindowBytes     = 64 << 20
	FeedIdleCheck   = 5 * time.Second
	FeedPullBytes   = 8 << 20 // what may lie in the client unread
	FeedHeartbeat   = 2 * time.Second
	FeedPullTime    = 20 * time.Second
	FeedAckEvents   = 64                    // settled events
	FeedAckTime     = 50 * time.Millisecond // or this
	FeedReopenFirst = 50 * time.Millisecond
	FeedReopenMost  = 2 * time.Second
	FeedBatch       = 64
	PullTime        = 2 * time.Second
	RecentEvents    = 4096
	RecentBytes     = 8 << 20
	// A reader's consumer costs the server something, and there may be as many
	// readers as suspended subscriptions.
	ReaderConsumers = 128
	ReaderIdleTime  = 30 * time.Second
	StreamSamples   = 1 << 16
	// Long enough that the server sends nothing again by itself.
	FeedAckWait = 24 * time.Hour
	KeepSlack   = 1000
)

func feed() []Limit {
	return part("The feed",
		row("WindowBytes", size(WindowBytes), process, "events of the feed that are not settled", "the feed takes no more until some are", "TestFeedWindow"),
		row("FeedIdleCheck", lasts(FeedIdleCheck), process, "time without an event until the server is asked whether one was missed", "-"),
		row("FeedPullBytes", size(FeedPullBytes), process, "what was pulled and is not read yet", "the server sends no more"),
		row("FeedHeartbeat", lasts(FeedHeartbeat), process, "time between signs of life of a pull", "after two the feed is opened again"),
		row("FeedPullTime", lasts(FeedPullTime), process, "a pull", "the next one begins"),
		row("FeedAckEvents", count(FeedAckEvents), process, "settled events in one acknowledgement", "it is sent"),
		row("FeedAckTime", lasts(FeedAckTime), process, "time until settled events are acknowledged", "it is sent"),
		row("FeedReopenFirst", lasts(FeedReopenFirst), process, "pause before the feed is opened again", "doubled with each failure"),
		row("FeedReopenMost", lasts(FeedReopenMost), process, "the longest such pause", "-"),
		row("FeedBatch", count(FeedBatch), process, "events that are handed over at once", "the rest is handed over next"),
		row("PullTime", lasts(PullTime), process, "a sign of life of one read", "it is tried again"),
		row("RecentEvents", count(RecentEvents), process, "newest events that are kept for readers", "readers ask the bus", "TestRecent"),
		row("RecentBytes", size(RecentBytes), process, "the same", "readers ask the bus", "TestRecent"),
		row("ReaderConsumers", count(ReaderConsumers), process, "consumers of subscriptions that read the stream for themselves", "the least used ones are given back", "TestSourceReadManyKeys"),
		row("ReaderIdleTime", lasts(ReaderIdleTime), subscription, "time without a read", "its consumer goes"),
		row("StreamSamples", count(StreamSamples), process, "messages whose times are looked up to find a sequence", "it is told as not found"),
		row("FeedAckWait", lasts(FeedAckWait), process, "time until the server would send an event again by itself", "the feed takes that for a fault and opens again"),
		row("KeepSlack", count(KeepSlack, "events"), process, "how far the consumer that keeps owed events may lag", "it is made again"),
	)
}

// The connection to NATS.
const (
	BusConnectTime    = 5 * time.Second
	BusDrainTime      = 5 * time.Second
	BusReconnectFirst = 250 * time.Millisecond
	// For credentials that stay refused and servers that stay away.
	BusReconnectMost = 4 * time.Second
	BusPing          = 5 * time.Second
	BusViolationTime = 15 * time.Second
	BusSayAgain      = 30 * time.Second
	CredsBytes       = 64 << 10
	MessageGetTime   = 5 * time.Second
	// A replica that hears nothing of its leader waits at least 4 s before it asks
	// for votes. So a leader that most replicas have answered within this time is the only one.
	ReplicaContact = 3 * time.Second
	// A former leader that is cut off gives up after 10 s without an answer.
	FormerLeaderTime = 15 * time.Second
)

func bus() []Limit {
	return part("The bus",
		row("BusConnectTime", lasts(BusConnectTime), connection, "dial, TLS and login", "it is tried again"),
		row("BusDrainTime", lasts(BusDrainTime), process, "time of a stop for what was published", "the connection is closed"),
		row("BusReconnectFirst", lasts(BusReconnectFirst), process, "pause before a connection is made again", "it grows with each failure"),
		row("BusReconnectMost", lasts(BusReconnectMost), process, "the longest such pause", "-", "TestReconnectDelayIsBounded"),
		row("BusPing", lasts(BusPing), connection, "time between two pings", "two without an answer: it is made again"),
		row("BusViolationTime", lasts(BusViolationTime), process, "how long a refused permission is told", "it is forgotten"),
		row("BusSayAgain", lasts(BusSayAgain), process, "how often the same trouble is logged", "not logged"),
		row("CredsBytes", size(CredsBytes), file, "a credentials file, where its expiry is looked for", "the rest is not read"),
		row("MessageGetTime", lasts(MessageGetTime), process, "a request for one message", "it is tried again"),
		row("ReplicaContact", lasts(ReplicaContact), process, "how old the contact of a leader with its replicas may be", "its answers do not count"),
		row("FormerLeaderTime", lasts(FormerLeaderTime), process, "how long an unconfirmed leader is waited for", "another server is asked"),
	)
}

// What the bridge makes on the bus.
const (
	OwedBytes        = 64 << 20
	DeadLetterBytes  = 1 << 30
	DeadLetterAge    = 30 * 24 * time.Hour
	AlertBytes       = 64 << 20
	AlertAge         = 30 * 24 * time.Hour
	AlertHearers     = 64
	AlertLook        = time.Second
	AlertPull        = 5 * time.Second
	AlertAckWait     = RecordAttemptTime + time.Minute
	SourceAge        = 7 * 24 * time.Hour
	SourceDuplicates = 10 * time.Minute
	BucketDuplicates = 2 * time.Minute // repeats of a write stay recognizable that long
	RecordHistory    = 64
	FollowCheck      = 2 * time.Second
	FollowSayAgain   = 10 * time.Second
	FollowApart      = 4 * time.Minute
	JudgeTime        = 2 * time.Second
	LetterWindow     = 256     // sequences that are looked back over first
	LetterPullBytes  = 4 << 20 // bytes in flight
	LetterTime       = 5 * time.Second
	ListAtOnce       = 64
	IDsPage          = 1000
	IDsTime          = 20 * time.Second
	ScanAtOnce       = 16
	// A server that has just started may not have found all of its streams.
	AbsentTime = 3 * time.Second
	// A late copy of a write is older than that only if the server itself stood still.
	LeastDuplicates = 30 * time.Second
	RivalCheck      = 10 * time.Second
	RivalLives      = time.Minute // an acknowledgement or a delivery is not older
	JetStreamTime   = 5 * time.Second
	LedgerMeasure   = 50 * time.Millisecond // of how full the ledger is, before an entry is refused
	AdoptTime       = 15 * time.Second
	TracesAtOnce    = 16 // requests to the bus at the same time
	// The marker of a removed entry serves nobody once it is stored: the fence keeps
	// late writers out, and an absent key reads the same. It must only outlive what
	// is under way.
	MarkerKept    = 5 * time.Minute
	HeartbeatKept = 30 * time.Second
	LedgerScan    = 30 * time.Second // of which keys are there, where several shards write
)

func assets() []Limit {
	return part("Streams and buckets",
		row("OwedBytes", size(OwedBytes), bucket, "what is owed; one tenant alone 5/8, one subscription half of it, as long as it has not another size", "the subscription reads the stream for itself, others notice nothing; new lane entries are refused at 90 %", "TestAttackLedger"),
		row("DeadLetterBytes", size(DeadLetterBytes), stream, "dead letters", "the oldest go"),
		row("DeadLetterAge", lasts(DeadLetterAge), stream, "age of a dead letter", "it goes"),
		row("AlertBytes", size(AlertBytes), stream, "alerts", "the oldest go"),
		row("AlertAge", lasts(AlertAge), stream, "age of an alert", "it goes"),
		row("AlertHearers", count(AlertHearers), "a shard", "records that hear alerts", "the others, by id, hear none; the log says so"),
		row("AlertLook", lasts(AlertLook), process, "time until a changed record that hears alerts is followed", "-"),
		row("AlertPull", lasts(AlertPull), process, "a pull of alerts, and the confirmation of one", "it is tried again"),
		row("AlertAckWait", lasts(AlertAckWait), process, "time until an alert of which nothing is heard comes again", "-"),
		row("SourceAge", lasts(SourceAge), stream, "age of an order event, where the stream is made here", "it goes; what is owed is copied to the dead letters before"),
		row("SourceDuplicates", lasts(SourceDuplicates), stream, "time in which a Nats-Msg-Id is known again", "it is stored again"),
		row("BucketDuplicates", lasts(BucketDuplicates), bucket, "time in which a write is known again", "it is refused by its fence"),
		row("RecordHistory", count(RecordHistory, "revisions"), recordScope, "what the bucket keeps of a record", "the oldest go"),
		row("FollowCheck", lasts(FollowCheck), process, "time between two looks at whether the records are followed", "-"),
		row("FollowSayAgain", lasts(FollowSayAgain), process, "how often an unreadable bucket is logged", "not logged"),
		row("FollowApart", lasts(FollowApart), process, "time out of touch after which a stand-by reads all statuses again", "-"),
		row("JudgeTime", lasts(JudgeTime), command, "wait for a bridge that judges a record", "the record is judged here"),
		row("LetterWindow", count(LetterWindow), request, "sequences that are looked back over first for dead letters", "twice as many, and so on"),
		row("LetterPullBytes", size(LetterPullBytes), request, "dead letters in flight", "the server sends no more"),
		row("LetterTime", lasts(LetterTime), request, "time without a dead letter", "an error"),
		row("ListAtOnce", count(ListAtOnce), command, "entries that are asked for at the same time", "the rest is asked for next"),
		row("IDsPage", count(IDsPage), command, "ids of records that a bridge tells at once", "the rest is asked for next"),
		row("IDsTime", lasts(IDsTime), command, "reading 100,000 ids of records from the bucket, where no bridge answers", "an error"),
		row("ScanAtOnce", count(ScanAtOnce), command, "parts of a stream that are read at the same time, behind an API prefix", "they follow each other", "TestScan"),
		row("AbsentTime", lasts(AbsentTime), process, "how long a stream must be absent until it is made again", "it is made again"),
		row("LeastDuplicates", lasts(LeastDuplicates), stream, "how long the server must know a write again", "not ready, with the remedy"),
		row("RivalCheck", lasts(RivalCheck), process, "time between two looks for other bridges", "-"),
		row("RivalLives", lasts(RivalLives), process, "age of a sign of life of another bridge", "it is taken for ended"),
		row("JetStreamTime", lasts(JetStreamTime), process, "one request to JetStream", "it is tried again"),
		row("LedgerMeasure", lasts(LedgerMeasure), process, "time between measurements of a ledger that seems full", "its entries are refused as measured"),
		row("AdoptTime", lasts(AdoptTime), command, "wait for the leader that adopts a stream", "an error"),
		row("TracesAtOnce", count(TracesAtOnce), process, "requests to the bus at the same time, at a take-over", "they wait"),
		row("MarkerKept", lasts(MarkerKept), process, "how long the marker of a removed entry stays", "it goes"),
		row("HeartbeatKept", lasts(HeartbeatKept), process, "how long the heartbeat of a replica that is gone stays", "it goes"),
		row("LedgerScan", lasts(LedgerScan), process, "time between two looks for removed entries, where several shards write", "-"),
	)
}

// Commands and questions of others: the NATS micro service.
const (
	ServiceRequestBytes = 8 << 20
	ServicePending      = 16384
	ServicePendingBytes = 16 << 20
	ServiceEndTime      = time.Second
	ServiceEndLook      = 10 * time.Millisecond
	ServiceRate         = 500 // a second
	ServiceBurst        = 1000
	QuestionsAtOnce     = 4
	QuestionsWaiting    = 128
	QuestionWait        = time.Second
	QuestionPause       = 100 * time.Millisecond
	QuestionAgain       = 500 * time.Millisecond
)

func service() []Limit {
	return part("Commands and questions over the bus",
		row("ServiceRequestBytes", size(ServiceRequestBytes), question, "its bytes; the bus takes fewer, most often", "an error, 413"),
		row("ServicePending", count(ServicePending), process, "requests of one kind that have come and were not looked at", "the newest get no answer", "TestFloodLeavesTurnsToCommands"),
		row("ServicePendingBytes", size(ServicePendingBytes), process, "their bytes, and those of questions of one kind that wait", "the newest get no answer; questions an error, 429"),
		row("ServiceEndTime", lasts(ServiceEndTime), process, "what has come is answered for, when it stops", "it gets no answer", "TestServiceEndsWithItsAnswers"),
		row("ServiceEndLook", lasts(ServiceEndLook), process, "time between two looks at whether it is", "-"),
		row("ServiceRate", count(ServiceRate, "a second"), process, "questions of one kind", "an error, 429"),
		row("ServiceBurst", count(ServiceBurst), process, "of them at once", "an error, 429"),
		row("QuestionsAtOnce", count(QuestionsAtOnce), process, "of them that are answered at the same time", "a further one waits"),
		row("QuestionsWaiting", count(QuestionsWaiting), process, "of them that wait", "an error, 429", "TestFloodIsAnswered"),
		row("QuestionWait", lasts(QuestionWait), question, "time for which it waits", "an error, 429"),
		row("QuestionPause", lasts(QuestionPause), command, "least time until a question is asked again of bridges that are busy", "-"),
		row("QuestionAgain", lasts(QuestionAgain), command, "time without an answer until a question is asked again; then twice that, and so on", "-"),
	)
}
