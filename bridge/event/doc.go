// Package event is what lies in the source stream, and what is read from it: a
// Message as the bus has it, and the Event that a Decoder makes of it (ids, type,
// order, tenant, each bounded), its key, which names the lane that it waits in, the
// names of its deliveries, and its body as text.
//
// It knows nothing of records and of the protocol. All of it is values: an Event is
// never changed once it is decoded.
package event
