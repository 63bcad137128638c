// Trouble measures what endpoints in trouble do to the others, on the built
// orderbridge with a NATS server in a process of its own:
//
//	a  20 healthy endpoints alone, then beside one that hangs, one that answers
//	   429, one that resets and one that takes 5 s, each with 10,000 waiting
//	   events: latency (p99) and throughput of the healthy ones
//	b  an endpoint that heals with a backlog of 10,000: how its rate rises
//	c  an endpoint that is down over 100,000 matching events: what the bridge
//	   writes to the bus meanwhile, and whether all arrive in order afterwards
//	d  500 endpoints that are down and heal at once: when each has caught up
//	e  10,000 records put at once under traffic: whether each hears from its put on
//	f  an endpoint that answers 500 to half of its orders: latency and throughput of the others
//	g  the same with 3 orders of 60
//	h  an endpoint that fails one request in five: whether all arrives, and how the backlog stands
//	i  a planned stop beside 300 subscriptions that hang, with a stand-by: the longest time without a delivery
//
// It prints figures and judges none but by the contract: what arrives, and in
// which order. The exit code is 1 if something is missing or out of order.
package main
