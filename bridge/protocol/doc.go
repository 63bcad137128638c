// Package protocol is the machine that decides what happens to each event: the rules
// of docs/rules.md, as one state machine without clock, goroutine, lock or I/O.
//
// A Machine is one term, the time for which one replica leads. Step gives it an Input
// (an event, the end of an attempt, the answer to a request, a revision of a record, or
// that time has passed) together with the time, and returns Outputs: what is to be
// asked of the bus, attempted, settled, told. Requests are answered by an Input of the
// same number. Next says when it wants to be woken.
//
// Beside the machine stand the forms of what it keeps on the bus (LaneEntry, Mark,
// Status, LeaseEntry), who may take the lease (Standby), and which messages a feed has
// taken in (Intake). Whatever waits, measures time or speaks to the bus is in package
// bridge.
package protocol
