package limits

import "time"

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
		row("PoolDistrusted", lasts(PoolDistrusted), endpoint, "time without reuse after bytes that no request had asked for", "connections are kept again"),
		row("PoolNotice", lasts(PoolNotice), endpoint, "how often it is logged why connections are not kept", "not logged"),
		row("PoolOrigins", count(PoolOrigins), process, "endpoints that something is remembered of", "those without idle connections are forgotten"),
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
