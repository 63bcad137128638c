package event

// Not all that lies in the source stream is an event. Servers and clients leave
// messages of their own there, which they know by a header:
//
//	Nats-Marker-Reason  the server's word that a subject was deleted, purged or ran out
//	KV-Operation        the same by a client, DEL or PURGE
//	Nats-Rollup         without data: "forget what was before", of a client
//	Nats-Schedule       what the server is to publish later: the event is what it publishes then
//	Nats-Incr           a counter (such a stream holds nothing else)
//	Status              without data: the server's answer to a request whose reply subject lies in the stream
//
// They are taken in, so that the position moves over them, and match nothing:
// they are neither delivered nor read, and no dead letter is made of one.
// Figures counts them.

// notEvent says what the message is that is not an event; "" if it is one. A
// header of ours alone decides nothing where an event may carry it as well:
// a rollup with data replaces older events by a new one.
func (m *Message) notEvent() string {
	if len(m.Header) == 0 {
		return ""
	}
	switch {
	case exactHeader(m.Header, "Nats-Marker-Reason") != "":
		return "delete marker"
	case exactHeader(m.Header, "Nats-Schedule") != "":
		return "schedule"
	case exactHeader(m.Header, "Nats-Incr") != "":
		return "counter"
	}
	switch exactHeader(m.Header, "KV-Operation") {
	case "DEL", "PURGE":
		return "delete marker"
	}
	if len(m.Data) > 0 {
		return ""
	}
	switch {
	case exactHeader(m.Header, "Nats-Rollup") != "":
		return "delete marker"
	case isStatus(exactHeader(m.Header, "Status")):
		return "status"
	}
	return ""
}

// isStatus tells whether the value is that of a status line: three digits.
func isStatus(v string) bool {
	return len(v) == 3 && v[0] >= '1' && v[0] <= '5' && isDigit(v[1]) && isDigit(v[2])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
