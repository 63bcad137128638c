package limits

import "time"

// Each group of constants is followed by its rows. Constants without a unit are
// numbers of bytes where their name says Bytes, and counts elsewhere.

func parts() [][]Limit {
	return [][]Limit{api(), listeners(), answers(), records()}
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
