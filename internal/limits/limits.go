package limits

import "time"

// Each group of constants is followed by its rows. Constants without a unit are
// numbers of bytes where their name says Bytes, and counts elsewhere.

func parts() [][]Limit {
	return [][]Limit{api(), listeners(), answers(), http2(), requests(), records(), core()}
}

// The management API.
const (
	APIBodyBytes         = 256 << 10
	APIRequests          = 64
	APIRequestTime       = 18 * time.Second
	APIFailures          = 10
	APIFailuresPerSecond = 1
	APIFailureAddresses  = 4096
)

func api() []Limit {
	return part("API",
		row("APIBodyBytes", size(APIBodyBytes), request, "body", "413"),
		row("APIRequests", count(APIRequests), process, "requests that are being answered", "503 with Retry-After"),
		row("APIRequestTime", lasts(APIRequestTime), request, "time until it is answered", "503"),
		row("APIFailures", count(APIFailures), address, "wrong tokens at once", "429 with Retry-After"),
		row("APIFailuresPerSecond", count(APIFailuresPerSecond, "a second"), address, "wrong tokens after these", "429 with Retry-After"),
		row("APIFailureAddresses", count(APIFailureAddresses), process, "addresses whose wrong tokens are counted (IPv6: networks of 64 bits)", "some are forgotten"),
	)
}

// The HTTP listener: probes, metrics, API.
const (
	HTTPReadTime    = 5 * time.Second
	HTTPWriteTime   = 20 * time.Second
	HTTPIdleTime    = time.Minute
	HTTPCloseTime   = 3 * time.Second
	HTTPHeaderBytes = 16 << 10
	HTTPScrapes     = 4
)

func listeners() []Limit {
	return part("HTTP listener",
		row("HTTPReadTime", lasts(HTTPReadTime), connection, "time for a whole request to come", "the connection is closed"),
		row("HTTPWriteTime", lasts(HTTPWriteTime), connection, "time from a request's head to the end of its answer", "the connection is closed"),
		row("HTTPIdleTime", lasts(HTTPIdleTime), connection, "time without a request", "the connection is closed"),
		row("HTTPCloseTime", lasts(HTTPCloseTime), process, "time for running requests at a stop", "they are cut"),
		row("HTTPHeaderBytes", size(HTTPHeaderBytes), connection, "a request's head", "431"),
		row("HTTPScrapes", count(HTTPScrapes), process, "scrapes of /metrics at the same time", "503"),
	)
}

// What an endpoint answers over HTTP/1.1.
const (
	AnswerStatusLineBytes = 8 << 10
	AnswerHeadBytes       = 64 << 10 // of all heads of an answer together
	AnswerFields          = 256
	AnswerInterim         = 32
	AnswerChunkLineBytes  = 4 << 10
	AnswerSurplusBytes    = 16 << 10 // what chunks cost beside their data
	AnswerTrailerBytes    = 4 << 10
	AnswerBodyBytes       = 64 << 10
	AnswerTextBytes       = 4 << 10 // of the body of an answer that is no success
)

func answers() []Limit {
	const parting = "the rest is not read; the connection is not used again"
	const failed = "the attempt failed"
	return part("Answers of endpoints",
		row("AnswerStatusLineBytes", size(AnswerStatusLineBytes), attempt, "status line", failed, "FuzzAnswer"),
		row("AnswerHeadBytes", size(AnswerHeadBytes), attempt, "all heads of an answer together", failed, "FuzzAnswer"),
		row("AnswerFields", count(AnswerFields), attempt, "header fields", failed, "FuzzAnswer"),
		row("AnswerInterim", count(AnswerInterim), attempt, "interim answers (1xx)", failed, "FuzzAnswer"),
		row("AnswerChunkLineBytes", size(AnswerChunkLineBytes), attempt, "the line before a chunk", parting, "FuzzAnswer"),
		row("AnswerSurplusBytes", size(AnswerSurplusBytes), attempt, "what chunks cost beside their data", parting, "FuzzAnswer"),
		row("AnswerTrailerBytes", size(AnswerTrailerBytes), attempt, "trailers", parting, "FuzzAnswer"),
		row("AnswerBodyBytes", size(AnswerBodyBytes), attempt, "body of a success, so that the connection can be used again", parting, "FuzzAnswer"),
		row("AnswerTextBytes", size(AnswerTextBytes), attempt, "body of an answer that is no success, of which 1 KiB is kept", parting, "FuzzAnswer"),
	)
}

// HTTP/2 to endpoints that speak nothing else, and to token servers.
const (
	HTTP2WindowBytes  = 64 << 10
	HTTP2RequestBytes = 192 << 10 // and a quarter of the request's body
	HTTP2IdleBytes    = 96 << 10
	HTTP2ReadBytes    = 64  // what a read costs beside its bytes
	HTTP2WriteBytes   = 256 // what a write costs, whatever its length
)

func http2() []Limit {
	const closed = "the connection is closed; its running attempts failed"
	return part("HTTP/2 of endpoints",
		row("HTTP2WindowBytes", size(HTTP2WindowBytes), attempt, "body that may be sent before it is read", "the server waits"),
		row("HTTP2RequestBytes", size(HTTP2RequestBytes)+" and a quarter of the request's body", attempt, "what a server may send meanwhile", closed, "TestAttackHTTP2Floods"),
		row("HTTP2IdleBytes", size(HTTP2IdleBytes), connection, "what a server may send beyond that", closed, "TestAttackHTTP2Floods"),
		row("HTTP2ReadBytes", size(HTTP2ReadBytes), connection, "what a read costs of these, beside its bytes", closed, "TestAttackHTTP2Floods"),
		row("HTTP2WriteBytes", size(HTTP2WriteBytes), connection, "what a write costs of these", closed, "TestAttackHTTP2Floods"),
	)
}

// What an event's values put into a request.
const (
	PathDecodes = 8
)

func requests() []Limit {
	return part("Requests to endpoints",
		row("PathDecodes", count(PathDecodes, "times"), event, "how often an order id that stands in a path is decoded to find . and .. segments", "what only shows then is sent", "TestContractD3NoWayOutOfThePath"),
	)
}

// A subscription record; lengths are in characters, as in the schema.
const (
	RecordBytes          = 64 << 10 // bytes
	RecordList           = 64       // subjects, event types, headers, labels, waits
	RecordProblems       = 50
	RecordURL            = 2048
	RecordSubject        = 256
	RecordText           = 1024 // description, header values, secrets, user names
	RecordName           = 128  // event types, header names, labels
	RecordInFlight       = 1000
	RecordRate           = 10000 // requests of a rate limit
	RecordRateTime       = time.Hour
	RecordSigningSecrets = 8                   // signing.secrets
	RecordFilter         = 4096                // filter
	RecordAttemptTime    = 10 * time.Minute    // connectionTimeout, timeout
	RecordWait           = 30 * 24 * time.Hour // one wait of retry.schedule
)

func records() []Limit {
	const invalid = "the record is invalid; its status names the member and the bound"
	return part("Subscription records",
		row("RecordBytes", size(RecordBytes), recordScope, "the whole record", invalid),
		row("RecordList", count(RecordList), recordScope, "entries of subjects, eventTypes, headers, labels, retry.schedule", invalid),
		row("RecordProblems", count(RecordProblems), recordScope, "problems that are told", "the rest is not told"),
		row("RecordURL", count(RecordURL, "characters"), recordScope, "a URL", invalid),
		row("RecordSubject", count(RecordSubject, "characters"), recordScope, "a subject filter", invalid),
		row("RecordText", count(RecordText, "characters"), recordScope, "a description, header value, secret or user name", invalid),
		row("RecordName", count(RecordName, "characters"), recordScope, "an event type, header name or label", invalid),
		row("RecordInFlight", count(RecordInFlight), recordScope, "maxInFlight", invalid),
		row("RecordRate", count(RecordRate, "requests"), recordScope, "requests of a rateLimit", invalid),
		row("RecordRateTime", lasts(RecordRateTime), recordScope, "the time of a rateLimit", invalid),
		row("RecordSigningSecrets", count(RecordSigningSecrets), recordScope, "signing.secrets", invalid),
		row("RecordFilter", count(RecordFilter, "characters"), recordScope, "the filter", invalid),
		row("RecordAttemptTime", lasts(RecordAttemptTime), recordScope, "connectionTimeout and timeout", invalid),
		row("RecordWait", lasts(RecordWait), recordScope, "one wait of retry.schedule", invalid),
	)
}

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
)

func core() []Limit {
	return part("The protocol",
		row("WindowEvents", count(WindowEvents), process, "events of the feed that are not settled", "the feed takes no more until some are", "ORDERBRIDGE_WINDOW"),
		row("WindowDeliveries", count(WindowDeliveries), process, "deliveries in memory that these owe", "an event with more matches is expanded step by step"),
		row("LaneReferences", count(LaneReferences), "an order", "changes that wait in one held lane", "the subscription reads the stream for itself"),
		row("LanesLeast", count(LanesLeast), subscription, "orders that fail and wait, whatever the others hold", "see LanesMost"),
		row("LanesMost", count(LanesMost), subscription, "orders that fail and wait, while all hold less than LanesHeld", "what fails is a dead letter at once if the endpoint serves the others, else the subscription stands still"),
		row("LanesHeld", count(LanesHeld), process, "orders that fail and wait", "a subscription has LanesLeast then"),
		row("ReaderDeliveries", count(ReaderDeliveries), subscription, "deliveries in memory while it reads the stream for itself", "it reads on when some are settled"),
		row("ReaderBytes", size(ReaderBytes), subscription, "one read of the stream", "the rest is the next read"),
		row("ReadersBytes", size(ReadersBytes), process, "payloads that all readers have in memory", "readers wait for their turn"),
		row("ParkedLanes", count(ParkedLanes), subscription, "lanes that are written to the ledger at one time", "it reads the stream for itself"),
		row("RevisionsApplying", count(RevisionsApplying), process, "revisions of records that are applied at the same time", "the others wait"),
		row("AttemptsRunning", count(AttemptsRunning), process, "attempts at the same time", "lanes wait for their turn"),
		row("LeaseTime", lasts(LeaseTime), process, "how long a leader is the leader without a renewal", "it sends nothing; another takes over 2s later"),
		row("LeaseMargin", lasts(LeaseMargin), attempt, "time before the end of the lease", "the attempt is cut"),
		row("LeaseRenewal", lasts(LeaseRenewal), process, "time between two renewals, which say what is settled", "a crash repeats what was settled since"),
		row("LeaseStale", lasts(LeaseStale), process, "time without a confirmed renewal", "no attempt starts"),
		row("ParkAfter", lasts(ParkAfter), delivery, "time in memory while others of its event are settled, or the window is half full", "it is written to the ledger"),
		row("ParkSoonAfter", lasts(ParkSoonAfter), delivery, "the same, where the endpoint gives no answer", "it is written to the ledger"),
		row("ClockOverlap", lasts(ClockOverlap), process, "difference between the clocks of publishers and operators that is allowed for", "changes of records act so much earlier or later"),
		row("DeletedKept", lasts(DeletedKept), recordScope, "time for which what a deleted record owes is kept", "it is dropped"),
		row("CoreTick", lasts(CoreTick), process, "time between two looks at what is due", "-"),
		row("ReaderPoll", lasts(ReaderPoll), subscription, "time between two reads that found nothing", "-"),
		row("StopDrain", lasts(StopDrain), process, "time of a stop for attempts that run", "what still runs is cut and written down", "ORDERBRIDGE_SHUTDOWN_TIMEOUT"),
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
	)
}
