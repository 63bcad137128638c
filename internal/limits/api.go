package limits

import "time"

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
	SessionIdle          = 30 * time.Minute
	SessionTime          = 12 * time.Hour
	SessionRenew         = time.Minute
	SessionProviderTime  = 4 * time.Hour
	SessionsReread       = 2 * time.Second
	SessionsEnded        = 4096
	SessionsEndedEach    = 64
	SessionsEndTime      = 10 * time.Second
	SessionsEndTries     = 20
	SessionCookies       = 4
	OpenIDTime           = 5 * time.Second
	OpenIDBytes          = 256 << 10
	OpenIDLogins         = 16
	OpenIDAtOnce         = 20
	OpenIDPerSecond      = 1
	OpenIDAttempt        = 10 * time.Minute
	OpenIDSkew           = time.Minute
	OpenIDKeep           = time.Hour
	OpenIDRetry          = 2 * time.Second
	OpenIDBody           = 8 << 10
	OpenIDOutgo          = 256
	LiveStreams          = 48
	LiveLook             = time.Second
	LiveEntries          = 200
	LiveOwn              = 100
	LiveBeat             = 15 * time.Second
	LiveWriteTime        = 10 * time.Second
	FiguresLook          = 2000
	FiguresFresh         = 5 * time.Second
	FiguresKept          = 64
	FiguresOfSome        = 100
	FiguresEach          = 30
	FiguresOwed          = 20
	OwedAges             = 50
	NewestLook           = 2048
	EventExcerpt         = 2 << 10
	StatesIdle           = 10 * time.Minute
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
		row("SessionIdle", lasts(SessionIdle), caller, "time of a browser's session without use by a person", "it logs in again", "TestSessionEnds"),
		row("SessionTime", lasts(SessionTime), caller, "time of a session in all", "it logs in again", "TestSessionEnds"),
		row("SessionRenew", lasts(SessionRenew), caller, "time between two notes that a session was used", "-"),
		row("SessionProviderTime", lasts(SessionProviderTime), caller, "time of a session in all that began at an OpenID provider, which is not asked meanwhile", "it logs in again", "TestLoginAtProvider"),
		row("SessionsReread", lasts(SessionsReread), process, "time until all replicas know that somebody has logged out", "a copy of the cookie is good until then", "TestAttackConsoleStolenCookie"),
		row("SessionsEnded", count(SessionsEnded), process, "sessions that were ended before their time, until they would have ended by themselves", "logging out takes the cookie back and says that a copy of it stays good"),
		row("SessionsEndedEach", count(SessionsEndedEach), caller, "those of one token, or person, that are noted one by one", "all its sessions that are as old as the oldest of these end", "TestSessionsOfOneFillNothing"),
		row("SessionsEndTime", lasts(SessionsEndTime), request, "time for noting that a session has ended", "503: a copy of the cookie stays good"),
		row("SessionsEndTries", count(SessionsEndTries), request, "tries to note it while other replicas do so", "likewise"),
		row("SessionCookies", count(SessionCookies), request, "cookies of one name that are tried for a session", "the others are left out"),
		row("OpenIDTime", lasts(OpenIDTime), request, "time until an OpenID provider has answered", "503"),
		row("OpenIDBytes", size(OpenIDBytes), request, "answer of an OpenID provider", "503", "TestProviderThatMisbehaves"),
		row("OpenIDLogins", count(OpenIDLogins), process, "logins by OpenID Connect that are being answered; those of one address at most as many as are free", "429 with Retry-After", "TestAttackConsoleSlowLogins"),
		row("OpenIDAtOnce", count(OpenIDAtOnce), address, "steps of such logins at once (a login has two)", "429 with Retry-After", "TestAttackConsoleLogin"),
		row("OpenIDPerSecond", count(OpenIDPerSecond, "a second"), address, "steps of such logins after these", "429 with Retry-After", "TestAttackConsoleLogin"),
		row("OpenIDAttempt", lasts(OpenIDAttempt), caller, "time from the beginning of such a login to its end", "it begins again", "TestLoginAtProvider"),
		row("OpenIDSkew", lasts(OpenIDSkew), process, "difference between the clocks of the provider and of this machine", "an id token counts as expired, or as not issued yet", "TestIDTokens"),
		row("OpenIDKeep", lasts(OpenIDKeep), process, "time that what an OpenID provider says of itself and its keys is kept; a key that is not known is fetched at once", "it is asked again"),
		row("OpenIDRetry", lasts(OpenIDRetry), process, "time until an OpenID provider that did not answer is asked again", "503"),
		row("OpenIDBody", size(OpenIDBody), request, "body of such a login", "413", "TestAttackConsoleSlowLogins"),
		row("OpenIDOutgo", count(OpenIDOutgo), process, "shares of people who logged in by OpenID Connect in requests that they have us make (see APIOutgoAtOnce)", "some people, or tenants, have one together"),
		row("LiveStreams", count(LiveStreams), process, "streams of what is live; "+share, "429 with Retry-After", "TestLiveIsBounded"),
		row("LiveLook", lasts(LiveLook), request, "time between two looks of such a stream at the delivery log", "-"),
		row("LiveEntries", count(LiveEntries), request, "entries of a stream that a look reads, the newest", "the stream says that it leaves some out", "TestLiveIsBounded"),
		row("LiveOwn", count(LiveOwn), request, "subscriptions of a tenant whose entries, alerts and statuses are read by their own subjects, whatever there is of others", "the newest entries of all are looked at", "TestAttemptsOfATenant"),
		row("LiveBeat", lasts(LiveBeat), request, "time until such a stream says that it lives", "-"),
		row("LiveWriteTime", lasts(LiveWriteTime), request, "time that a write to such a stream may take", "it ends"),
		row("FiguresLook", count(FiguresLook), request, "entries of the delivery log behind figures", "an even sample of them is taken, and the figures are estimates", "TestFiguresAreBounded"),
		row("FiguresFresh", lasts(FiguresFresh), process, "time for which figures are told again to others who ask the same", "they are counted again"),
		row("FiguresKept", count(FiguresKept), process, "questions whose figures are kept so long", "another one's are forgotten"),
		row("FiguresOfSome", count(FiguresOfSome), request, "subscriptions that are asked for their figures", "400"),
		row("FiguresEach", count(FiguresEach), request, "entries of the delivery log behind the figures of each of these", "an even sample of as many is taken, and its figures are estimates", "TestFiguresOfSome"),
		row("FiguresOwed", count(FiguresOwed), request, "orders that wait that are counted for each of these", "the answer says that there are more"),
		row("OwedAges", count(OwedAges), request, "subscriptions that read, of which a list of what is owed asks the stream how old that is", "of further ones it is not told"),
		row("NewestLook", count(NewestLook), request, "alerts or events that are looked at for one page, the newest first", "the page ends earlier, with `next`", "TestNewestIsBounded"),
		row("EventExcerpt", size(EventExcerpt), event, "of its data in a list", "the rest is left out"),
		row("StatesIdle", lasts(StatesIdle), process, "time without a list by state until the statuses are not followed for it any more", "the next one follows them again"),
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
