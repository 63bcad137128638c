// Package bridge is the domain of orderbridge and the one path of an event
// through it: an event is matched against the subscriptions of the Directory,
// becomes one Delivery for each match, runs in its lane, and is settled on the
// bus only when nothing of it is owed in memory any more.
//
// The protocol (docs/design.md, rules R1-R14) is a deterministic core without
// locks, clocks or I/O; what waits on the world stands behind the ports in
// ports.go. The package imports no other package of ours.
package bridge
