// Package flight is the flight recorder of the machine: it keeps the last
// inputs of a term, so that what happened somewhere can be stepped through
// somewhere else.
//
// # What is kept
//
// A Recorder steps a machine. It writes down each input as far as the machine
// looks at it, and of the outputs their kinds and a checksum of what they name.
// Payloads and headers of events, values of records, URLs, secrets and what an
// endpoint answered beyond the reason that the log tells are left out (light.go
// names what is written; a member that is not named there is not). Of an
// origin, which the machine compares (R12), stands a keyed hash, whose key is
// nowhere.
//
// # Where a replay begins
//
// What is kept are two segments of at most limits.TraceSegment bytes. When one
// is full the older one is dropped and a new one begins, with a checkpoint: all
// of the machine, written as a graph. The first segment of a term begins with
// what the machine was made from. So a replay begins at the older of the two
// beginnings and is exact: the same machine gets the same inputs at the same
// times. A machine whose checkpoint would take more than limits.TraceCheckpoint
// bytes (some 4,000 subscriptions, or as many orders that are owed) begins
// its segment without one; from there inputs and the kinds of outputs can be
// read, but not stepped through, up to the next segment that has a beginning.
// Trace.Replay says so.
//
// # What a file is good for
//
// A checkpoint and the inputs are the memory of one build: another one whose
// types differ cannot read them, and says so (Head.Layout). A build whose types
// are the same steps through it; that its outputs differ from what was recorded
// may be the very thing one looks for, so the first difference is named.
package flight
