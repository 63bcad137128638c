package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// Policy is what the operator permits a record.
type Policy struct {
	AllowHTTP         bool // http:// URLs (ORDERBRIDGE_ALLOW_HTTP)
	AllowHTTPLoopback bool // http:// URLs on localhost, 127.0.0.0/8 and ::1 (ORDERBRIDGE_DEV)
	AllowTrustAll     bool // tls.trustAll (ORDERBRIDGE_ALLOW_TRUST_ALL)
	// CheckAddress judges the host of a URL that is an address; its error names
	// the remedy. nil: any. Names are judged when they are dialed.
	CheckAddress func(netip.Addr) error
	// CheckFilter says what is wrong with a filter, with line and column. nil:
	// records with a filter are refused.
	CheckFilter func(expression string) error
	// LeastWait is the shortest wait of retry.schedule; a shorter one is raised,
	// with a warning. 0: a second.
	LeastWait time.Duration
}

// Parse reads the record that stands under the key id. All problems
// are told at once; the subscription is nil if one of them is an error. Nothing
// of data is kept, and no message holds a secret, or a URL's user info, path or query.
func Parse(id string, data []byte, policy Policy) (*Subscription, Problems) {
	r := &recordReader{
		policy: policy,
		s:      &Subscription{ID: strings.Clone(id), Method: "POST", Payload: "event", MaxInFlight: DefaultMaxInFlight},
	}
	if !event.IsSafeID(id) {
		r.fail("id", "the key %s is not a valid id; use 1 to 64 of A-Z a-z 0-9 _ -", quote(id))
	}
	if err := checkJSON(data); err != nil {
		r.fail("", "%s", err)
		return nil, r.problems
	}
	r.object("", gjson.ParseBytes(data), recordObject)
	r.checkTogether()
	if r.problems.Err() != nil {
		return nil, r.problems
	}
	return r.s, r.problems
}

// checkJSON makes sure that data is one JSON object of bounded size.
func checkJSON(data []byte) error {
	switch trimmed := bytes.TrimLeft(data, " \t\r\n"); {
	case len(data) > limits.RecordBytes:
		return fmt.Errorf("the record has %d bytes; at most %d are read", len(data), limits.RecordBytes)
	case len(trimmed) == 0:
		return errors.New(`the record is empty; the least is {"targetURL":"https://…"}`)
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return errors.New("the record begins with a byte order mark; save it as UTF-8 without one")
	case !utf8.Valid(data):
		return errors.New("the record is not UTF-8; save it as UTF-8")
	case !event.ValidJSON(data):
		return NotJSON("the record", data)
	case trimmed[0] != '{':
		return errors.New(`the record is not a JSON object; the least is {"targetURL":"https://…"}`)
	}
	return nil
}

// NotJSON is the error of what is not JSON, with the place.
func NotJSON(what string, data []byte) error {
	var syntax *json.SyntaxError
	var v any
	if err := json.Unmarshal(data, &v); errors.As(err, &syntax) {
		before := data[:min(int(syntax.Offset), len(data))]
		line := bytes.Count(before, []byte("\n")) + 1
		column := len(before) - bytes.LastIndexByte(before, '\n') - 1
		if int(syntax.Offset) >= len(bytes.TrimRight(data, " \t\r\n")) && strings.HasPrefix(syntax.Error(), "unexpected end") {
			return fmt.Errorf("%s is not JSON: it ends too early; is a } or a quote missing?", what)
		}
		return fmt.Errorf("%s is not JSON: line %d, column %d: %w", what, line, column, syntax)
	}
	return fmt.Errorf("%s is not JSON", what)
}

// What is wrong with a member that is null, or there twice.
const (
	Null  = "is null; give a value or leave it out"
	Twice = "is given more than once; keep one"
)

type recordReader struct {
	policy   Policy
	s        *Subscription
	problems Problems
	errors   int // of problems, those not listed included
	warnings int

	hasTarget      bool // targetURL was given and is a usable URL
	hasPlaceholder bool
	givenPayload   bool
	references     []namedValue // secrets that are references
	files          []namedValue
}

// namedValue is the value of a member that is judged once the tenant is known.
type namedValue struct{ field, value string }

func (r *recordReader) fail(field, format string, args ...any) {
	r.add(Problem{Field: field, Message: fmt.Sprintf(format, args...)})
}

func (r *recordReader) warn(field, format string, args ...any) {
	r.add(Problem{Field: field, Message: fmt.Sprintf(format, args...), Warning: true})
}

func (r *recordReader) add(p Problem) {
	count := &r.errors
	if p.Warning {
		count = &r.warnings
	}
	*count++
	switch {
	case *count <= limits.RecordProblems:
		r.problems = append(r.problems, p)
	case *count == limits.RecordProblems+1:
		r.problems = append(r.problems, Problem{Message: "there are more problems than are listed here", Warning: p.Warning})
	}
}

func (r *recordReader) more() *More {
	if r.s.More == nil {
		r.s.More = &More{}
	}
	return r.s.More
}

// object reads each member of an object; prefix is the path of the object with
// a dot at its end.
func (r *recordReader) object(prefix string, v gjson.Result, o *memberSet) {
	var few [16]string
	seen := few[:0]
	v.ForEach(func(k, v gjson.Result) bool {
		name := k.String()
		m := o.byName[name]
		switch {
		case m == nil:
			r.add(unknown(prefix, name, o.meant(prefix, name)))
		case slices.Contains(seen, name):
			r.fail(m.path, Twice)
		case v.Type == gjson.Null:
			r.fail(m.path, Null)
		default:
			m.read(r, m.path, v)
		}
		seen = append(seen, name)
		return r.errors <= limits.RecordProblems
	})
	for _, m := range o.required {
		if !slices.Contains(seen, m.name) {
			r.fail(m.path, "%s", m.required)
		}
	}
}
