// Bench measures how fast orderbridge is, beside what could be reached at most
// on the same machine at the same time (docs/performance.md):
//
//	a  the HTTP limit: the client alone, without a bus
//	b  the naive loop: consume, POST, acknowledge, 64 in flight
//	c  orderbridge: one subscription, maxInFlight 64 and 256
//	d  orderbridge: each event for 100 subscriptions
//	e  orderbridge: each event for one subscription among 1 to 1,000,000
//	f  latency from publish to endpoint at 500 events/s and after rest,
//	   orderbridge and naive loop; a take-over's longest wait
//	h  what bounds the number of shards: the feed, the bus, writes of statuses
//	p  peers, if given (bench/peers): compared with b
//	g  1, 2 and 4 bridges, each held to a quarter of a core, that share 4 shards
//
// The receiver, the NATS server, the client, the loop and orderbridge are
// processes of their own; all but the last are this program, started again.
// Rounds of a to d, of e, of f and of g are interleaved, so that whatever else the
// machine does meets all alike; what counts are the ratios.
package main
