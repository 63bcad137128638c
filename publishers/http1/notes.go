package http1

import (
	"time"

	"orderbridge/internal/limits"
)

// Notes are what a caller wants to know of an exchange beside its answer. They are
// those of the last request, where it was sent twice. Head and Text keep their room
// for the next exchange.
type Notes struct {
	Sent  time.Time // when the request was handed to a connection that stood
	First time.Time // when the first bytes of an answer were read; zero: none came
	Head  []byte    // the fields of the answer, each with a LF: the first of them
	Text  []byte    // the beginning of the body
	Bytes int       // of the body, as far as it was read
}

// Reset makes them ready for another exchange.
func (n *Notes) Reset() { *n = Notes{Head: n.Head[:0], Text: n.Text[:0]} }

// sent: what was noted of an earlier request is void.
func (n *Notes) sent(now time.Time) {
	n.Reset()
	n.Sent = now
}

// Field notes a line of the head.
func (n *Notes) Field(line []byte) {
	if len(n.Head)+len(line) < limits.AnswerNoteHeadBytes {
		n.Head = append(append(n.Head, line...), '\n')
	}
}

// Body notes a part of the body.
func (n *Notes) Body(b []byte) {
	n.Bytes += len(b)
	n.Text = append(n.Text, b[:min(len(b), max(limits.AnswerNoteTextBytes-len(n.Text), 0))]...)
}
