package publishers

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

// An answer may hold what was sent, so what of it is shown is searched for secrets:
// it is the endpoint that chooses it, and the endpoint knows them.

// answerShown is an answer of an endpoint, as it came and as it may be shown.
type answerShown struct {
	head, text []byte
	headers    bridge.AttemptHeaders
	excerpt    string
}

// shownAnswer is what may be shown of an answer: its fields, and the beginning of
// its body. Endpoints that say the same again and again are the rule: the last
// answer is kept.
func (e *endpoint) shownAnswer(head, text []byte) (bridge.AttemptHeaders, string) {
	if len(head) == 0 && len(text) == 0 {
		return nil, ""
	}
	last := e.lastAnswer.Load()
	if last != nil && bytes.Equal(last.head, head) && bytes.Equal(last.text, text) {
		return last.headers, last.excerpt
	}
	now := &answerShown{head: bytes.Clone(head), text: bytes.Clone(text)}
	f := e.hidden()
	now.headers = readHead(f.hide(string(head)))
	if excerpt := oneLine(string(text), len(text)); excerpt != "" {
		now.excerpt = oneLine(f.hide(excerpt), 2*limits.AnswerNoteTextBytes)
	}
	e.lastAnswer.Store(now)
	return now.headers, now.excerpt
}

// readHead takes lines of a head apart. A cookie is a secret.
func readHead(head string) (headers bridge.AttemptHeaders) {
	for line := range strings.Lines(head) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			continue
		}
		h := bridge.AttemptHeader{Name: oneLine(name, 64), Value: oneLine(value, limits.AnswerNoteHeadBytes)}
		if strings.EqualFold(h.Name, "Set-Cookie") {
			h.Value = redacted
		}
		at := slices.IndexFunc(headers, func(x bridge.AttemptHeader) bool { return strings.EqualFold(x.Name, h.Name) })
		if at >= 0 {
			headers[at].Value += ", " + h.Value
			continue
		}
		headers = append(headers, h)
	}
	return headers
}

// hiddenForms are all forms of what an endpoint keeps secret.
type hiddenForms struct {
	issued           []string // tokens, at that time
	secrets, needles []string
}

func (f *hiddenForms) hide(text string) string { return hideAll(text, f.needles, f.secrets) }

// hidden are the forms of what is secret now. They are kept for the endpoints that
// needed them last, and not for all: that would cost more memory than their records.
func (e *endpoint) hidden() *hiddenForms {
	var issued []string
	if e.token != nil {
		issued = e.token.issued()
	}
	if f := e.forms.Load(); f != nil && slices.Equal(f.issued, issued) {
		return f
	}
	f := &hiddenForms{issued: issued, secrets: slices.Concat(e.secrets, issued)}
	f.needles = needles(f.secrets)
	e.forms.Store(f)
	keptForms.add(e)
	return f
}

// formsShelf knows the endpoints whose forms are kept.
type formsShelf struct {
	mu        sync.Mutex
	endpoints [limits.EndpointForms]*endpoint
	next      int
}

var keptForms formsShelf

// add drops the forms of the endpoint that came longest ago.
func (s *formsShelf) add(e *endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.endpoints[:], e) {
		return
	}
	if old := s.endpoints[s.next]; old != nil {
		old.forms.Store(nil)
	}
	s.endpoints[s.next] = e
	s.next = (s.next + 1) % len(s.endpoints)
}
