package filter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// reading is an event's body whose census was taken: what it takes to make a
// document of it is known.
type reading struct {
	text   []byte
	count  census
	need   int
	refuse error // why no document can be made of it
}

// read takes the census of an event's body.
func read(e *event.Event) reading {
	body, err := e.Body()
	if err != nil {
		return reading{refuse: fmt.Errorf("the event cannot be read: %w", err)}
	}
	if len(body) > limits.FilterEventBytes {
		return reading{refuse: fmt.Errorf("the event has %d bytes; at most %d are evaluated", len(body),
			limits.FilterEventBytes)}
	}
	s := scanner{text: body}
	switch err := s.scan(); {
	case errors.Is(err, errSyntax):
		return reading{refuse: errors.New("the event is not JSON: " + strings.TrimPrefix(event.JSONProblem(body),
			"it is not JSON: "))}
	case errors.Is(err, errMore):
		return reading{refuse: errors.New("the event is not JSON: " + err.Error())}
	case err != nil:
		return reading{refuse: fmt.Errorf("the event cannot be evaluated: %w", err)}
	}
	r := reading{text: body, count: s.count, need: s.count.need(body)}
	if r.need > limits.FilterDocumentBytes {
		r.refuse = fmt.Errorf("the event cannot be evaluated: it takes %d bytes of memory; at most %d are given",
			r.need, limits.FilterDocumentBytes)
	}
	return r
}

// root is the event as CEL sees it.
func (d *document) root() ref.Val { return d.value(0) }

// sameData tells whether two events hold the same bytes.
func sameData(a, b *event.Event) bool {
	return a == b || bytes.Equal(a.Data, b.Data) && a.ContentEncoding() == b.ContentEncoding()
}

func wrong(err error) ref.Val { return types.WrapErr(err) }
