// Package audit keeps who changed what, in a stream of its own: each revision of
// a record exactly once, written by the leader as it finds them in their bucket,
// and what people have a bridge do by commands.
//
// The bucket of the records is the queue: a leader goes on after the newest
// revision that has an entry, so that a take-over loses none, and an entry is
// stored only if the stream has got no other since that was looked up, so that
// none is there twice. Nothing here stands in the way of a delivery or of a write.
package audit
