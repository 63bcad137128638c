package limits

import "time"

// Each group of constants is followed by its rows. Constants without a unit are
// numbers of bytes where their name says Bytes, and counts elsewhere.

func parts() [][]Limit {
	return [][]Limit{
		api(),
		listeners(),
		embeddedServer(),
		answers(),
		http2(),
		requests(),
		records(),
		secrets(),
		core(),
		shares(),
		feed(),
		bus(),
		assets(),
		letters(),
		pool(),
		host(),
		events(),
		patterns(),
		filters(),
		subscriptions(),
		audits(),
		patience(),
		outgo(),
		trail(),
		recorder(),
	}
}

// The management API.
const (
	APIBodyBytes         = 256 << 10
	APIBodyGrace         = 3 * time.Second
	APIBodyRate          = 16 << 10 // bytes a second after that
	APIBodies            = 128
	APIRequests          = 128
	APIWait              = time.Second
	APIPublic            = 32
	APILists             = 32
	APIListWait          = 5 * time.Second
	APIPageBytes         = 1 << 20
	APIPageReads         = 2000
	APIPageDebts         = 100_000
	IndexWait            = 5 * time.Second
	QuotaLook            = 2 * time.Second
	APIWriteBurst        = 10 // seconds of a tenant's rate at once
	APIWriters           = 4096
	APIProbes            = 16
	APIRequestTime       = 18 * time.Second
	APIFailures          = 10
	APIFailuresPerSecond = 1
	APIFailureAddresses  = 4096
	APIForwards          = 32
	APIStrangerLines     = 100 // a second
	APITokensReread      = 2 * time.Second
)

func api() []Limit {
	const share = "those of one caller: at most as many as are free. "
	return part("API",
		row("APIBodyBytes", size(APIBodyBytes), request, "body", "413", "TestAttackBeyondTheLimitsOfTheListener"),
		row("APIBodyGrace", lasts(APIBodyGrace), request, "time until the body must have begun to come", "408, the connection is closed", "TestAttackBeyondTheLimitsOfTheListener"),
		row("APIBodyRate", size(APIBodyRate)+" a second", request, "how fast the body comes after that, at least", "408, the connection is closed", "TestAttackBeyondTheLimitsOfTheListener"),
		row("APIBodies", count(APIBodies), process, "bodies that are being read; "+share+"A tenant is one caller", "429 with Retry-After", "TestAttackSlowBodies"),
		row("APIRequests", count(APIRequests), process, "requests that are being answered; "+share, "429 with Retry-After", "TestPanicsAndTooMuchAtOnce"),
		row("APIWait", lasts(APIWait), request, "time that it waits for its turn, for its body and for its answer", "429 with Retry-After"),
		row("APIPublic", count(APIPublic), process, "answers of /docs and /openapi.json under way; those of one address at most as many as are free", "429 with Retry-After", "TestAttackIdleConnections"),
		row("APILists", count(APILists), process, "lists that are being read; "+share, "429 with Retry-After"),
		row("APIListWait", lasts(APIListWait), request, "time that a list waits for its turn", "429 with Retry-After"),
		row("APIPageBytes", size(APIPageBytes), request, "records and statuses of one page of a list", "the page ends earlier, with `next`", "TestPagesAreBounded"),
		row("APIPageReads", count(APIPageReads), request, "entries and dead letters that are looked at for one page", "the page ends earlier, with `next`", "TestPagesAreBounded"),
		row("APIPageDebts", count(APIPageDebts), request, "debts of 64 subscriptions that are looked at for one page", "the others are left out"),
		row("IndexWait", lasts(IndexWait), request, "time until this process has read what the bucket of the records holds", "503"),
		row("QuotaLook", lasts(QuotaLook), process, "time until the log and a metric tell of a tenant that has more than its quota", "its records' statuses tell it at once", "TestAttackRecordsBeyondQuota"),
		row("APIWriteBurst", count(APIWriteBurst, "seconds' worth"), tenant, "writes at once, and after that the setting's rate", "429 with Retry-After", "ORDERBRIDGE_TENANT_WRITES", "TestAttackRecordsBeyondQuota"),
		row("APIWriters", count(APIWriters), process, "tenants whose rate of writes is remembered", "those that may write at once are forgotten first"),
		row("APIProbes", count(APIProbes), process, "probes and test requests under way; "+share, "429 with Retry-After"),
		row("APIRequestTime", lasts(APIRequestTime), request, "time until it is answered", "503"),
		row("APIFailures", count(APIFailures), address, "wrong tokens at once", "wrong ones get 429 with Retry-After; right ones pass", "TestFailedLoginsAreBounded"),
		row("APIFailuresPerSecond", count(APIFailuresPerSecond, "a second"), address, "wrong tokens after these", "wrong ones get 429 with Retry-After; right ones pass", "TestFailedLoginsAreBounded"),
		row("APIFailureAddresses", count(APIFailureAddresses), process, "addresses whose wrong tokens are counted (IPv6: networks of 64 bits)", "one of those with the fewest is forgotten", "TestFailedLoginsAreBounded"),
		row("APIForwards", count(APIForwards), request, "addresses of X-Forwarded-For or Forwarded that are read, from the right", "the request counts for the last proxy", "TestClientBehindProxies"),
		row("APIStrangerLines", count(APIStrangerLines, "a second"), process, "lines of the log about requests of nobody that is known", "the others are debug lines"),
		row("APITokensReread", lasts(APITokensReread), process, "time until a changed file of tokens is read", "a token that was taken out is good no longer", "TestAttackRevokedToken"),
	)
}

// The HTTP listener: probes, metrics, API.
const (
	HTTPReadTime         = 5 * time.Second
	HTTPWriteTime        = 20 * time.Second
	HTTPIdleTime         = time.Minute
	HTTPCloseTime        = 3 * time.Second
	HTTPHeaderBytes      = 16 << 10
	HTTPScrapes          = 64
	HTTPConnections      = 1024
	HTTPDescriptorsShare = 4 // one of so many descriptors of the process
)

func listeners() []Limit {
	return part("HTTP listener",
		row("HTTPReadTime", lasts(HTTPReadTime), connection, "time for the head of a request to come", "the connection is closed", "TestAttackBeyondTheLimitsOfTheListener"),
		row("HTTPWriteTime", lasts(HTTPWriteTime), connection, "time from a request's head to the end of its answer", "the connection is closed"),
		row("HTTPIdleTime", lasts(HTTPIdleTime), connection, "time without a request", "the connection is closed"),
		row("HTTPCloseTime", lasts(HTTPCloseTime), process, "time for running requests at a stop", "they are cut"),
		row("HTTPHeaderBytes", size(HTTPHeaderBytes), connection, "a request's head", "431", "TestAttackBeyondTheLimitsOfTheListener"),
		row("HTTPScrapes", count(HTTPScrapes), process, "scrapes of /metrics at the same time", "503"),
		row("HTTPConnections", count(HTTPConnections), process, "connections; those of one address at most as many as are free (IPv6: network of 64 bits)", "the oldest one without a running request is closed, of the address that has the most", "TestAttackIdleConnections"),
		row("HTTPDescriptorsShare", "1/"+count(HTTPDescriptorsShare)+" of the process's limit", process, "descriptors that connections may take, where that is less", "likewise", "TestAttackIdleConnections"),
	)
}

// The listener of the embedded NATS server.
const (
	NATSConnections      = 512
	NATSDescriptorsShare = 4 // one of so many descriptors of the process
	NATSControlLine      = 4 << 10
	NATSLoginTime        = 2 * time.Second
	NATSPing             = 20 * time.Second
	NATSPingsOut         = 2
	NATSWriteTime        = 10 * time.Second
)

func embeddedServer() []Limit {
	return part("The embedded NATS server",
		row("NATSConnections", count(NATSConnections), process, "connections", "a further one is refused: maximum connections exceeded", "TestAttackIdleNATSConnections"),
		row("NATSDescriptorsShare", "1/"+count(NATSDescriptorsShare)+" of the process's limit", process, "descriptors that connections may take, where that is less", "likewise", "TestAttackIdleNATSConnections"),
		row("NATSControlLine", size(NATSControlLine), connection, "a line of the protocol", "the connection is closed"),
		row("NATSLoginTime", lasts(NATSLoginTime), connection, "time until a client has logged in, where it has to", "the connection is closed"),
		row("NATSPing", lasts(NATSPing), connection, "time between pings", "after some without an answer the connection is closed"),
		row("NATSPingsOut", count(NATSPingsOut), connection, "pings without an answer", "the connection is closed"),
		row("NATSWriteTime", lasts(NATSWriteTime), connection, "time that a write to a client may take", "the connection is closed"),
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
	AnswerTextBytes       = 4 << 10 // of the body of an answer that is not a success
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
		row("AnswerTextBytes", size(AnswerTextBytes), attempt, "body of an answer that is not a success, of which 1 KiB is kept", parting, "FuzzAnswer"),
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
	PathDecodes     = 8
	ProbeTime       = 5 * time.Second
	LocalFaultLasts = 10 * time.Second
	LocalFaultSaid  = time.Minute

	IdleConnections   = 4096
	DescriptorsWanted = 16384
)

func requests() []Limit {
	return part("Requests to endpoints",
		row("PathDecodes", count(PathDecodes, "times"), event, "how often an order id that stands in a path is decoded to find . and .. segments", "what only shows then is sent", "TestContractD3NoWayOutOfThePath"),
		row("ProbeTime", lasts(ProbeTime), request, "time for a listener to answer the HEAD request of a registration; why it did not is not told, neither by the time", "404", "TestAttackEyesInside"),
		row("LocalFaultLasts", lasts(LocalFaultLasts), process, "how long `/readyz` tells a fault of this machine (no descriptors, no ports, no proxy) after it was last seen", "it is over"),
		row("LocalFaultSaid", lasts(LocalFaultSaid), process, "time between two lines in the log of the same fault", "nothing is logged"),
		row("IdleConnections", count(IdleConnections), process, "connections to endpoints that are kept open for reuse, for each TLS setting; at most half of the files that may be open", "the one that was idle for the longest is closed"),
		row("DescriptorsWanted", count(DescriptorsWanted), process, "files that may be open below which the start warns", "deliveries wait for a file, and say so", "TestAttackDescriptors"),
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
	RecordLeastWait      = time.Second
	RecordLeastWaitDev   = 100 * time.Millisecond // with ORDERBRIDGE_DEV
	RecordLeastTimeout   = 10 * time.Millisecond  // connectionTimeout, timeout
)

func records() []Limit {
	const invalid = "the record is invalid; its status names the member and the bound"
	const raised = "a shorter one is raised to it; the status says so"
	return part("Subscription records",
		row("RecordBytes", size(RecordBytes), recordScope, "the whole record", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordList", count(RecordList), recordScope, "entries of subjects, eventTypes, headers, labels, retry.schedule", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordProblems", count(RecordProblems), recordScope, "problems that are told", "the rest is not told", "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordURL", count(RecordURL, "characters"), recordScope, "a URL", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordSubject", count(RecordSubject, "characters"), recordScope, "a subject filter", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordText", count(RecordText, "characters"), recordScope, "a description, header value, secret or user name", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordName", count(RecordName, "characters"), recordScope, "an event type, header name or label", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordInFlight", count(RecordInFlight), recordScope, "maxInFlight", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordRate", count(RecordRate, "requests"), recordScope, "requests of a rateLimit", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordRateTime", lasts(RecordRateTime), recordScope, "the time of a rateLimit", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordSigningSecrets", count(RecordSigningSecrets), recordScope, "signing.secrets", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordFilter", count(RecordFilter, "characters"), recordScope, "the filter", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordAttemptTime", lasts(RecordAttemptTime), recordScope, "connectionTimeout and timeout", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordWait", lasts(RecordWait), recordScope, "one wait of retry.schedule", invalid, "TestAttackBeyondTheLimitsOfARecord"),
		row("RecordLeastWait", lasts(RecordLeastWait), recordScope, "least wait of retry.schedule", raised, "TestAttackHastySchedule"),
		row("RecordLeastWaitDev", lasts(RecordLeastWaitDev), recordScope, "the same with ORDERBRIDGE_DEV", raised, "TestLeastWaits"),
		row("RecordLeastTimeout", lasts(RecordLeastTimeout), recordScope, "least connectionTimeout and timeout", raised, "TestLeastWaits"),
	)
}

// Secrets that records refer to.
const (
	ReferenceLength     = 8192 // a sealed value is the longest
	SecretFileNameBytes = 255
	SecretBytes         = 16 << 10
	SecretFileBytes     = 1 << 20
	SecretHostsBytes    = 8 << 10
	SecretHosts         = 256
	KeyIterations       = 10_000_000 // of PBKDF2
	KeyMemoryBytes      = 256 << 20  // of scrypt
	KeyScryptPasses     = 64
	ForeignTextBytes    = 8 << 10
	ForeignTextDecodes  = 3
	ReasonBytes         = 1 << 10
	SecretRecheck       = 2 * time.Second
)

func secrets() []Limit {
	const unread = "it is not read: the record cannot be used"
	return part("Secrets",
		row("ReferenceLength", count(ReferenceLength, "characters"), recordScope, "a reference to a secret, or a sealed value", "the record is invalid"),
		row("SecretFileNameBytes", size(SecretFileNameBytes), recordScope, "name of a file in the secrets directory", "the record is invalid", "TestFiles"),
		row("SecretBytes", size(SecretBytes), file, "a secret in the secrets directory", unread, "TestFiles"),
		row("SecretFileBytes", size(SecretFileBytes), file, "a certificate or key in the secrets directory", unread, "TestFiles"),
		row("SecretHostsBytes", size(SecretHostsBytes), file, "what says where a secret may go", "the secret goes nowhere", "TestHostsFile"),
		row("SecretHosts", count(SecretHosts), file, "hosts to which a secret may go", "the secret goes nowhere", "TestHostPatterns"),
		row("KeyIterations", count(KeyIterations, "iterations"), file, "PBKDF2 of an encrypted private key", "the key is not opened", "TestCostlyKeyIsNotOpened"),
		row("KeyMemoryBytes", size(KeyMemoryBytes), file, "memory of scrypt of an encrypted private key", "the key is not opened", "TestCostlyKeyIsNotOpened"),
		row("KeyScryptPasses", count(KeyScryptPasses), file, "passes of scrypt of an encrypted private key", "the key is not opened", "TestCostlyKeyIsNotOpened"),
		row("ForeignTextBytes", size(ForeignTextBytes), attempt, "what an endpoint or token server says, in which secrets are looked for", "the rest is not told", "TestForeignTextHoldsNoSecret"),
		row("ForeignTextDecodes", count(ForeignTextDecodes, "times"), attempt, "how often its escapes are decoded to find secrets", "what only shows then is told", "TestSecretsInEscapes"),
		row("ReasonBytes", size(ReasonBytes), attempt, "the reason of a failure", "the rest is not told", "TestForeignTextHoldsNoSecret"),
		row("SecretRecheck", lasts(SecretRecheck), process, "time after which a record whose secret was refused is looked at again", "it comes into force when the secret may go there by then", "TestAttackSecretsOfTheHost"),
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
	SourceAge        = 7 * 24 * time.Hour
	SourceDuplicates = 10 * time.Minute
	BucketDuplicates = 2 * time.Minute // repeats of a write stay recognizable that long
	RecordHistory    = 64
	FollowCheck      = 2 * time.Second
	FollowSayAgain   = 10 * time.Second
	JudgeTime        = 2 * time.Second
	LetterWindow     = 256     // sequences that are looked back over first
	LetterPullBytes  = 4 << 20 // bytes in flight
	LetterTime       = 5 * time.Second
	ListAtOnce       = 64
	ScanAtOnce       = 16
	// A server that has just started may not have found all of its streams.
	AbsentTime = 3 * time.Second
	// A late copy of a write is older than that only if the server itself stood still.
	LeastDuplicates = 30 * time.Second
	RivalCheck      = 10 * time.Second
	RivalLives      = time.Minute // an acknowledgement or a delivery is not older
	JetStreamTime   = 5 * time.Second
	AdoptTime       = 15 * time.Second
	TracesAtOnce    = 16 // requests to the bus at the same time
)

func assets() []Limit {
	return part("Streams and buckets",
		row("OwedBytes", size(OwedBytes), bucket, "what is owed; one tenant alone 5/8, one subscription half of it, as long as it has not another size", "the subscription reads the stream for itself, others notice nothing; new lane entries are refused at 90 %", "TestAttackLedger"),
		row("DeadLetterBytes", size(DeadLetterBytes), stream, "dead letters", "the oldest go"),
		row("DeadLetterAge", lasts(DeadLetterAge), stream, "age of a dead letter", "it goes"),
		row("AlertBytes", size(AlertBytes), stream, "alerts", "the oldest go"),
		row("AlertAge", lasts(AlertAge), stream, "age of an alert", "it goes"),
		row("SourceAge", lasts(SourceAge), stream, "age of an order event, where the stream is made here", "it goes; what is owed is copied to the dead letters before"),
		row("SourceDuplicates", lasts(SourceDuplicates), stream, "time in which a Nats-Msg-Id is known again", "it is stored again"),
		row("BucketDuplicates", lasts(BucketDuplicates), bucket, "time in which a write is known again", "it is refused by its fence"),
		row("RecordHistory", count(RecordHistory, "revisions"), recordScope, "what the bucket keeps of a record", "the oldest go"),
		row("FollowCheck", lasts(FollowCheck), process, "time between two looks at whether the records are followed", "-"),
		row("FollowSayAgain", lasts(FollowSayAgain), process, "how often an unreadable bucket is logged", "not logged"),
		row("JudgeTime", lasts(JudgeTime), command, "wait for a bridge that judges a record", "the record is judged here"),
		row("LetterWindow", count(LetterWindow), request, "sequences that are looked back over first for dead letters", "twice as many, and so on"),
		row("LetterPullBytes", size(LetterPullBytes), request, "dead letters in flight", "the server sends no more"),
		row("LetterTime", lasts(LetterTime), request, "time without a dead letter", "an error"),
		row("ListAtOnce", count(ListAtOnce), command, "entries that are asked for at the same time", "the rest is asked for next"),
		row("ScanAtOnce", count(ScanAtOnce), command, "parts of a stream that are read at the same time, behind an API prefix", "they follow each other", "TestScan"),
		row("AbsentTime", lasts(AbsentTime), process, "how long a stream must be absent until it is made again", "it is made again"),
		row("LeastDuplicates", lasts(LeastDuplicates), stream, "how long the server must know a write again", "not ready, with the remedy"),
		row("RivalCheck", lasts(RivalCheck), process, "time between two looks for other bridges", "-"),
		row("RivalLives", lasts(RivalLives), process, "age of a sign of life of another bridge", "it is taken for ended"),
		row("JetStreamTime", lasts(JetStreamTime), process, "one request to JetStream", "it is tried again"),
		row("AdoptTime", lasts(AdoptTime), command, "wait for the leader that adopts a stream", "an error"),
		row("TracesAtOnce", count(TracesAtOnce), process, "requests to the bus at the same time, at a take-over", "they wait"),
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

// Connections to endpoints over HTTP/1.1 that are kept.
const (
	PoolIdleTime     = 55 * time.Second
	PoolAge          = 10 * time.Minute
	PoolSweep        = time.Second
	PoolLearned      = time.Hour
	PoolLeastLearned = time.Second // what ends sooner was ended by something else than its idleness
	PoolDistrusted   = 10 * time.Minute
	PoolNotice       = time.Hour
	PoolOrigins      = 8192
)

func pool() []Limit {
	return part("Connections to endpoints",
		row("PoolIdleTime", lasts(PoolIdleTime), connection, "time without a request", "it is closed", "TestIdleConnections"),
		row("PoolAge", lasts(PoolAge), connection, "age", "it is closed after the next request", "TestSweeper"),
		row("PoolSweep", lasts(PoolSweep), process, "time between two looks at idle connections", "-"),
		row("PoolLearned", lasts(PoolLearned), endpoint, "how long it is remembered when it closes idle connections", "it is learned again"),
		row("PoolLeastLearned", lasts(PoolLeastLearned), endpoint, "the shortest such time that is believed", "it was something else"),
		row("PoolDistrusted", lasts(PoolDistrusted), endpoint, "time without reuse after an answer with doubtful framing", "connections are kept again"),
		row("PoolNotice", lasts(PoolNotice), endpoint, "how often doubtful framing is logged", "not logged"),
		row("PoolOrigins", count(PoolOrigins), process, "endpoints that something is remembered of", "the least used are forgotten"),
	)
}

// Files that are read, and what commands wait for.
const (
	AutomationFileBytes  = 1 << 20
	AutomationCheck      = time.Second
	AutomationTime       = 5 * time.Second
	ContextFileBytes     = 1 << 20
	DiskRoom             = 8 << 20
	DiskCheck            = time.Second
	DiskRestartFirst     = 2 * time.Second // between two restarts; doubled while they do not help
	DiskRestartMost      = 2 * time.Minute
	EmbeddedStartTime    = 20 * time.Second
	CertificateFileBytes = 4 << 20
	// A shorter token could be guessed.
	TokenLeast        = 16
	CommandCallTime   = 10 * time.Second
	CommandInputBytes = 256 << 20
	HearingCheck      = 2 * time.Second
	// Shorter than the lease: a leader may keep it.
	DeafAfter      = 7 * time.Second
	DeafAgain      = 20 * time.Second // another server is not tried more often
	FitCheck       = 2 * time.Second  // well below the lease's length
	FitTime        = 5 * time.Second
	FitSayAgain    = time.Minute // how often the same trouble is worth an error
	AssetsCheck    = 2 * time.Second
	AssetsSayAgain = time.Minute
	AssetsTime     = 10 * time.Second // questions about streams; a busy or electing server may need some time
	MemoryFloor    = 128 << 20        // bytes: below it the collector makes no effort
	MemoryTries    = 10               // seconds of hard work until it is spared
	HeapFloor      = 64 << 20
	VerdictTime    = 2 * time.Second
	VerdictCheck   = 20 * time.Millisecond
	DemoTime       = 30 * time.Second
)

func host() []Limit {
	return part("Files and commands",
		row("AutomationFileBytes", size(AutomationFileBytes), file, "WEBHOOK_FILE", "it is refused, and what was read before stays", "TestFileIsBounded"),
		row("AutomationCheck", lasts(AutomationCheck), file, "time between two looks at WEBHOOK_FILE", "-"),
		row("AutomationTime", lasts(AutomationTime), process, "one request to the bus for it", "it is tried again"),
		row("ContextFileBytes", size(ContextFileBytes), file, "a context of the program nats", "it is refused"),
		row("DiskRoom", size(DiskRoom), process, "free room for which a server that had none is started again", "it waits", "TestFullDiskIsWaitedOut"),
		row("DiskCheck", lasts(DiskCheck), process, "time between two looks at the room", "-"),
		row("DiskRestartFirst", lasts(DiskRestartFirst), process, "pause between two restarts for want of room", "doubled while they do not help"),
		row("DiskRestartMost", lasts(DiskRestartMost), process, "the longest such pause", "-"),
		row("EmbeddedStartTime", lasts(EmbeddedStartTime), process, "start of the embedded server", "the program ends"),
		row("CertificateFileBytes", size(CertificateFileBytes), file, "a file of certificates, keys or tokens that a setting names", "it is refused"),
		row("TokenLeast", count(TokenLeast, "characters"), caller, "least length of a token", "the program does not start", "TestBadTokensAreRefusedUnseen"),
		row("CommandCallTime", lasts(CommandCallTime), command, "one request to the bus", "an error"),
		row("CommandInputBytes", size(CommandInputBytes), command, "a file, or what comes by stdin", "an error: split it"),
		row("HearingCheck", lasts(HearingCheck), process, "time between two looks at whether the server hears the others", "-"),
		row("DeafAfter", lasts(DeafAfter), process, "time for which it does not", "another server is tried"),
		row("DeafAgain", lasts(DeafAgain), process, "pause until the next one is tried", "-"),
		row("FitCheck", lasts(FitCheck), process, "time between two looks at whether servers and streams fit", "-"),
		row("FitTime", lasts(FitTime), process, "such a look", "it is tried again"),
		row("FitSayAgain", lasts(FitSayAgain), process, "how often what does not fit is logged as an error", "at debug"),
		row("AssetsCheck", lasts(AssetsCheck), process, "time between two looks at streams and buckets", "-"),
		row("AssetsSayAgain", lasts(AssetsSayAgain), process, "how often what is wrong with them is logged", "not logged"),
		row("AssetsTime", lasts(AssetsTime), process, "questions about streams", "not ready, with the reason"),
		row("MemoryFloor", size(MemoryFloor), process, "memory below which the collector makes no effort", "-", "TestMemoryBoundGivesWayToWhatIsInUse"),
		row("MemoryTries", count(MemoryTries, "seconds"), process, "hard work of the collector", "the bound gives way to what is in use"),
		row("HeapFloor", size(HeapFloor), process, "heap that is not collected", "-"),
		row("VerdictTime", lasts(VerdictTime), command, "wait for what a bridge says of a record", "it says that none has answered"),
		row("VerdictCheck", lasts(VerdictCheck), command, "time between two looks for it", "-"),
		row("DemoTime", lasts(DemoTime), command, "the demo", "it fails"),
	)
}

// The filters of records (CEL).
const (
	FilterNodes         = 2000
	FilterNesting       = 64
	FilterRegexSize     = 500
	FilterRegexBytes    = 1024
	FilterCost          = 100_000
	FilterTime          = 2 * time.Second
	FilterValues        = 1 << 20
	FilterDepth         = 512
	FilterNumberDigits  = 512
	FilterHeaders       = 4096
	FilterEventBytes    = 8 << 20
	FilterDocumentBytes = 24 << 20
	FilterBytes         = 96 << 20
	FilterWorkBytes     = 6 << 20
	FilterIdleBytes     = 16 << 20
	FilterEvaluations   = 8
	FilterTextsKept     = 1 << 16
	FilterProgramsKept  = 1 << 12
	FilterPatternsKept  = 1 << 8
)

func filters() []Limit {
	const letter, waits, forgotten = "a dead letter with the reason", "the others wait, tenants and subscriptions in turn", "some are forgotten, and made again"
	const invalid = "the record is invalid; the problem tells line and column"
	return part("Filters",
		row("FilterNodes", count(FilterNodes), recordScope, "nodes of the expression, macros expanded", invalid, "TestCheck"),
		row("FilterNesting", count(FilterNesting), recordScope, "depth of the expression", invalid, "TestCheck"),
		row("FilterRegexSize", count(FilterRegexSize), recordScope, "instructions of a regular expression", invalid+"; one that the event makes: "+letter, "TestCheck"),
		row("FilterRegexBytes", size(FilterRegexBytes), delivery, "regular expression that the event makes", letter, "TestHostileExpressionsAreBounded"),
		row("FilterCost", count(FilterCost), delivery, "units of CEL, by what is looked through and made", letter, "TestHostileExpressionsAreBounded"),
		row("FilterTime", lasts(FilterTime), delivery, "time of an evaluation, waiting left out", "the attempt failed"),
		row("FilterValues", count(FilterValues), event, "values in its JSON", letter, "TestBoundsOfADocument"),
		row("FilterDepth", count(FilterDepth), event, "levels of its JSON", letter, "TestBoundsOfADocument"),
		row("FilterNumberDigits", count(FilterNumberDigits), event, "characters of a number that a filter asks for", letter, "TestBoundsOfADocument"),
		row("FilterHeaders", count(FilterHeaders), event, "headers, where a filter asks for them", letter, "TestBoundsOfADocument"),
		row("FilterEventBytes", size(FilterEventBytes), event, "its body, decompressed", letter, "TestBoundsOfADocument"),
		row("FilterDocumentBytes", size(FilterDocumentBytes), event, "memory for what is found in its JSON", letter, "TestBoundsOfADocument"),
		row("FilterBytes", size(FilterBytes), process, "memory for all evaluations", waits, "TestEvaluationsShareTheirMemory"),
		row("FilterWorkBytes", size(FilterWorkBytes), delivery, "of that, for what an expression makes", "its cost ends it before", "TestHostileExpressionsAreBounded"),
		row("FilterIdleBytes", size(FilterIdleBytes), process, "of that, for events that nobody asks about at present", forgotten),
		row("FilterEvaluations", count(FilterEvaluations), process, "evaluations at once; no more than half the cores", waits, "TestTurns"),
		row("FilterTextsKept", count(FilterTextsKept), process, "expressions that are known to be good; up to twice as many", forgotten),
		row("FilterProgramsKept", count(FilterProgramsKept), process, "expressions that are kept compiled; up to twice as many", forgotten, "TestProgramsAreShared"),
		row("FilterPatternsKept", count(FilterPatternsKept), process, "regular expressions that are kept compiled; up to twice as many", forgotten),
	)
}

// What is read from an event.
const (
	ValueBytes      = 512
	InflatedBytes   = 1 << 20
	InflatedAtLeast = 64 << 10
	InflatedTimes   = 50
	LargeLetter     = 64 << 10
	LargeLetters    = 4
)

func events() []Limit {
	const unread = "its body is not read: ids come from headers and subject only"
	return part("Events",
		row("ValueBytes", size(ValueBytes), event, "event type, order id, legacy order id, tenant, the publisher's id", "it counts as not told: a record that needs it gets a dead letter with the reason; the lane of an order and the publisher's id go by a hash; counted in `orderbridge_events_overlong_total`", "TestLongValues"),
		row("InflatedBytes", size(InflatedBytes), event, "compressed body, decompressed", unread, "TestDecode"),
		row("InflatedAtLeast", size(InflatedAtLeast), event, "what a compressed body may hold however small it is", unread, "TestInflateIsBounded"),
		row("InflatedTimes", count(InflatedTimes, "times its size"), event, "what a compressed body may hold beyond that", unread, "TestInflateIsBounded"),
		row("LargeLetter", size(LargeLetter), event, "its data, where a dead letter of it waits for one of LargeLetters places", "it waits"),
		row("LargeLetters", count(LargeLetters), process, "dead letters of large events that are stored at the same time", "the others wait; nothing is settled before", "TestAttackFiltersFillTheMemory"),
	)
}

// What an event is matched against.
const (
	PatternStars   = 8
	PatternsWithin = 16
	SubjectTokens  = 16
	SubjectStars   = 4
)

func patterns() []Limit {
	const refused = "the record is invalid; the problem names the field"
	return part("Patterns of records",
		row("PatternStars", count(PatternStars), recordScope, "stars in one of its `eventTypes`", refused, "TestPatternsAreBounded"),
		row("PatternsWithin", count(PatternsWithin), recordScope, "`eventTypes` with text between two stars", refused, "TestPatternsAreBounded"),
		row("SubjectTokens", count(SubjectTokens), recordScope, "tokens in one of its `subjects`", refused, "TestPatternsAreBounded"),
		row("SubjectStars", count(SubjectStars), recordScope, "tokens `*` in one of its `subjects`", refused, "TestPatternsAreBounded"),
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

// The audit: who changed what.
const (
	AuditBytes       = 128 << 20
	AuditAge         = 365 * 24 * time.Hour
	AuditPerSubject  = 4096
	AuditEntryBytes  = 16 << 10
	AuditValueBytes  = 256
	AuditMembers     = 64
	AuditBackfill    = 1000
	AuditQueue       = 256
	AuditQueueWait   = time.Minute
	AuditWitnessed   = 4096
	AuditToldBytes   = 64 << 10
	AuditFormerBytes = 8 << 20
	AuditPage        = 1000
	AuditScan        = 100_000
	AuditTold        = 10
	AuditMuteTime    = time.Minute
)

func audits() []Limit {
	return part("Audit",
		row("AuditBytes", size(AuditBytes), stream, "entries in AUDIT; a small account or disk gets less", "the oldest go", "TestAuditAsset"),
		row("AuditAge", lasts(AuditAge), stream, "age of an entry", "it goes", "TestAuditAsset"),
		row("AuditPerSubject", count(AuditPerSubject), subscription, "entries of one kind of change", "the oldest of them go: no tenant pushes out another's", "TestAuditAsset"),
		row("AuditEntryBytes", size(AuditEntryBytes), stream, "an entry", "it says that members changed, and not which", "TestEntryIsBounded"),
		row("AuditValueBytes", size(AuditValueBytes), recordScope, "a member before or after a change", "it is cut", "TestChanges"),
		row("AuditMembers", count(AuditMembers), recordScope, "changed members that an entry names", "it says how many more there are", "TestChanges"),
		row("AuditBackfill", count(AuditBackfill), process, "revisions that are there when the audit begins and get entries", "it begins at the newest revision"),
		row("AuditQueue", count(AuditQueue), process, "entries of commands that wait for the bus (those of records wait in their bucket)", "dropped, counted and told in the log", "TestJournalDrops"),
		row("AuditQueueWait", lasts(AuditQueueWait), process, "time for which such an entry is tried", "dropped, counted and told in the log"),
		row("AuditWitnessed", count(AuditWitnessed), process, "changes whose NATS user is remembered until their revision comes", "the oldest are forgotten: their entries name no user"),
		row("AuditToldBytes", size(AuditToldBytes), process, "what the server tells of a NATS user", "the entry names no user"),
		row("AuditFormerBytes", size(AuditFormerBytes), process, "records kept to tell a change by", "the former revision is read from the bucket"),
		row("AuditPage", count(AuditPage), command, "entries that `orderbridge audit` shows", "the newest; --limit"),
		row("AuditScan", count(AuditScan), command, "entries that are looked through for it", "it says where it stopped"),
		row("AuditTold", count(AuditTold, "a second"), process, "entries that commands ask for", "refused"),
		row("AuditMuteTime", lasts(AuditMuteTime), process, "time for which ALERTS or AUDIT is not asked for where no answer comes (a permission is missing)", "it is asked for again"),
	)
}

// How long is waited for what no longer decides anything.
const (
	AnswerHeadPatience = 500 * time.Millisecond // the rest of the head after a 2xx
	AnswerBodyPatience = 300 * time.Millisecond // the body of a 2xx, so that the connection can be used again
	AnswerTextPatience = time.Second
	AnswerRestPatience = 50 * time.Millisecond // the body of a 2xx where it cannot: to part in peace
	AnswerLastWords    = time.Second
	WriteGrace         = 50 * time.Millisecond // the end of a write whose answer is there
	OneWriteBytes      = 64 << 10
	PooledRequestBytes = 64 << 10
	SocketSilence      = 30 * time.Second
	NegotiatedOrigins  = 4096
	ProxyAnswerBytes   = 16 << 10
	PublishTime        = 5 * time.Second
	HeaderValueBytes   = 2048
)

func patience() []Limit {
	return part("Waiting for the rest of an answer",
		row("AnswerHeadPatience", lasts(AnswerHeadPatience), attempt, "time for the rest of the head after a 2xx", "the connection is closed", "TestSuccessesThatAreHardToRead"),
		row("AnswerBodyPatience", lasts(AnswerBodyPatience), attempt, "time for the body of a 2xx, so that the connection can be used again", "the connection is closed", "TestEndlessBodyOfASuccess"),
		row("AnswerTextPatience", lasts(AnswerTextPatience), attempt, "time for the body of an answer that is not a success", "the connection is closed", "TestCutIsNoAnswer"),
		row("AnswerRestPatience", lasts(AnswerRestPatience), attempt, "time for the body of a 2xx where it cannot", "the connection is closed", "TestEndlessBodyOfASuccess"),
		row("AnswerLastWords", lasts(AnswerLastWords), attempt, "time for an answer after the request could not be written", "the attempt failed", "TestEarlyAnswer"),
		row("WriteGrace", lasts(WriteGrace), attempt, "time for the end of a request whose answer is there", "the connection is closed", "TestEarlyAnswer"),
		row("OneWriteBytes", size(OneWriteBytes), attempt, "request that is written before anything is read", "it is written beside the reading", "TestLongRequest"),
		row("PooledRequestBytes", size(PooledRequestBytes), process, "request whose buffer is kept", "the buffer is not kept"),
		row("SocketSilence", lasts(SocketSilence), connection, "time in which nothing that was sent is acknowledged", "the connection is broken"),
		row("NegotiatedOrigins", count(NegotiatedOrigins), process, "endpoints that are remembered for the protocol they want", "the others are forgotten"),
		row("ProxyAnswerBytes", size(ProxyAnswerBytes), attempt, "what the egress proxy answers to CONNECT", "the attempt failed", "TestProxyThatRefuses"),
		row("PublishTime", lasts(PublishTime), process, "wait for the confirmation of what is published", "it is tried again"),
		row("HeaderValueBytes", size(HeaderValueBytes), delivery, "an id in a header", "its hash goes instead", "FuzzHeaderValue"),
	)
}

// Probes and tests of endpoints, on behalf of callers of the API.
const (
	APITestTime      = 12 * time.Second
	APIOutgoAtOnce   = 10 // requests that a caller may have us make, then one a second
	APIOutgoWait     = 4 * time.Second
	APIChangeRetries = 4
)

func outgo() []Limit {
	return part("Requests that callers of the API have made",
		row("APITestTime", lasts(APITestTime), request, "time for a test of an endpoint", "504"),
		row("APIOutgoAtOnce", count(APIOutgoAtOnce), caller, "requests to endpoints that it may have made at once; then one a second", "429"),
		row("APIOutgoWait", lasts(APIOutgoWait), request, "wait for its turn", "429"),
		row("APIChangeRetries", count(APIChangeRetries), request, "changes of others between reading and writing a record", "409"),
	)
}

// What is told of changes in the stream AUDIT.
const (
	AuditCheck       = 500 * time.Millisecond // whether this bridge leads
	AuditPublishTime = 5 * time.Second
	AuditFresh       = 5 * time.Second
	AuditWitnessTime = 300 * time.Millisecond
	ActorBytes       = 1 << 10
	ActorKeyAge      = 10 * time.Second
	SeedBytes        = 4096
)

func trail() []Limit {
	return part("The audit trail",
		row("AuditCheck", lasts(AuditCheck), process, "time between two looks at whether this bridge leads", "-"),
		row("AuditPublishTime", lasts(AuditPublishTime), process, "wait for the confirmation of an entry", "it is tried again"),
		row("AuditFresh", lasts(AuditFresh), recordScope, "age of a change of which the bus may still tell who made it", "the entry says that nobody is known"),
		row("AuditWitnessTime", lasts(AuditWitnessTime), recordScope, "wait for what the bus tells of a change", "likewise"),
		row("ActorBytes", size(ActorBytes), recordScope, "what a header says of who changed it", "it is cut"),
		row("ActorKeyAge", lasts(ActorKeyAge), process, "age of the key by which the API is believed, until it is read again", "it is read again"),
		row("SeedBytes", size(SeedBytes), file, "the seed of the embedded server", "refused"),
	)
}

// The flight recorder of the machine.
const (
	TraceSegment    = 8 << 20 // bytes; two are kept
	TraceCheckpoint = 4 << 20
	TraceFiles      = 8
	TraceInterval   = time.Minute // between two files that nobody asked for
)

func recorder() []Limit {
	const listed = "its steps can be read, but not stepped through"
	return part("The flight recorder",
		row("TraceSegment", size(TraceSegment), process, "the older, and the newer half of what it keeps", "the older half is dropped", "TestRecorderIsBounded"),
		row("TraceCheckpoint", size(TraceCheckpoint), process, "what a half begins with, and each of its inputs", listed, "TestRecorderIsBounded"),
		row("TraceFiles", count(TraceFiles), process, "its files in one directory", "the oldest are removed", "TestTraceFiles"),
		row("TraceInterval", lasts(TraceInterval), process, "time between two files that nobody asked for", "no file; the log says so", "TestPanicEndsTheTerm"),
	)
}
