// Package http1 is an HTTP/1.1 client for webhooks: it sends one small request
// and wants to know one thing, the status. It knows nothing of orderbridge.
//
// Two questions are never mixed. Is the attempt decided? A whole final status
// line decides it, whatever follows or does not follow. May the connection be
// used again? Only if every byte of the answer was understood: one clean
// length, the end reached, nothing after it. What is doubtful costs the
// connection, never the answer; a wrong reuse would give one request the
// answer to another.
//
// A Client keeps idle connections without a goroutine for each: they are probed
// before they are used, and by one sweeper while they wait. Idle connections
// are shared by requests of one Key, which names the tenant, and by one Client,
// which stands for one TLS identity. At no time are there more open connections
// for a Key than there were requests at once.
//
// Whoever may send only until a certain moment has the client ask, right before
// the first byte of each request (Options.MayBegin).
//
// decisions/0014-http1-client.md says why this is not net/http.
package http1
