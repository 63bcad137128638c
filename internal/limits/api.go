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
