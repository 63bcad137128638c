package record

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"orderbridge/bridge/event"
)

// What holds where a record says nothing.
const (
	DefaultMaxInFlight    = 16
	DefaultConnectTimeout = 10 * time.Second
	defaultAttemptTimeout = 30 * time.Second
)

var defaultSchedule = []time.Duration{
	5 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute,
	2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
}

// Subscription is one parsed and validated record (subscription.schema.json).
// Parse makes it; it is immutable and kept small: a million of them
// stand in memory.
type Subscription struct {
	ID        string
	TargetURL string // as given
	Method    string // GET, POST or PUT
	Payload   string // event, notification or cloudevent
	Tenant    string
	Subjects  []string // NATS subject filters, none covered by another; nil hears all
	Types     []string // event types, may hold *; nil hears all

	Inactive    bool // status "deactivated"
	Paused      bool // status "paused"
	Alerts      bool // source "alerts": it hears those, and no events
	Coalesce    bool
	Ordering    event.Ordering
	MaxInFlight int

	More *More // nil when nothing in it was given: what a plain record does not have

	compiled atomic.Pointer[compilation]
}

// More are the members that plain records do without.
type More struct {
	Headers           map[string]string // canonical names; values may be secret
	Key               Secret            // query parameter key (contract B5)
	Auth              *Auth             // nil: none
	Secret            Secret            // signs the body, X-Signature (contract B7)
	Signing           []Secret          // sign by Standard Webhooks, each for itself: whsec_…
	FormerUntil       time.Time         // until when those after the first of Signing sign; zero: without end
	TLS               *TLS              // nil: the defaults
	ConnectionTimeout time.Duration     // 0: default
	Timeout           time.Duration     // 0: default
	Schedule          []time.Duration   // nil: default; empty: no retries
	RateLimit         *RateLimit        // nil: none
	Filter            string            // expression that an event must fulfil; "": none
	StartFrom         string            // "" (as "new"), "new", "all" or an RFC 3339 time
	Description       string
	Labels            map[string]string
}

// RateLimit is the most requests that may start within a time, whichever
// window of that length one looks at.
type RateLimit struct {
	Requests int
	Per      time.Duration
}

// AttemptTimeout bounds a whole attempt.
func (s *Subscription) AttemptTimeout() time.Duration {
	if s.More == nil || s.More.Timeout == 0 {
		return defaultAttemptTimeout
	}
	return s.More.Timeout
}

// ConnectTimeout bounds dial and TLS handshake of an attempt.
func (s *Subscription) ConnectTimeout() time.Duration {
	if s.More == nil || s.More.ConnectionTimeout == 0 {
		return DefaultConnectTimeout
	}
	return s.More.ConnectionTimeout
}

// RetrySchedule gives the waits between attempts, without jitter: after as
// many failed attempts as it has entries, the next failure is the last. It is
// shared and must not be changed.
func (s *Subscription) RetrySchedule() []time.Duration {
	if s.More == nil || s.More.Schedule == nil {
		return defaultSchedule
	}
	return s.More.Schedule
}

// Origin is scheme, host and port of the target in a form that can be compared
// (R12): lower case, the port only where it is not that of the scheme.
func (s *Subscription) Origin() string {
	u, err := url.Parse(s.TargetURL)
	if err != nil {
		return ""
	}
	scheme := strings.ToLower(u.Scheme)
	return scheme + "://" + hostPort(scheme, u)
}

// SecretHost is the host of a URL in the form in which sealed values name it:
// lower case, with the port only where it is not that of the scheme, and with
// http:// before it where the connection is a plain one. "" if there is none.
func SecretHost(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	if scheme := strings.ToLower(u.Scheme); scheme != "https" {
		return scheme + "://" + hostPort(scheme, u)
	}
	return hostPort("https", u)
}

func hostPort(scheme string, u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), strings.TrimLeft(u.Port(), "0")
	if port == "" || port == "443" && scheme == "https" || port == "80" && scheme == "http" {
		if strings.Contains(host, ":") {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, port)
}

// Describe says in one line what the record does, without path, query and
// secrets: "hears orders.acme.> [OrderAccepted], POST erp.example.com".
func (s *Subscription) Describe() string {
	var b strings.Builder
	b.WriteString("hears ")
	all := "all events"
	if s.Alerts {
		all = "the bridge's alerts"
	}
	b.WriteString(shorten(s.Subjects, all))
	if s.Types != nil {
		b.WriteString(" [" + shorten(s.Types, "") + "]")
	}
	if s.Tenant != "" {
		b.WriteString(" of tenant " + s.Tenant)
	}
	b.WriteString(", " + s.Method + " ")
	if u, err := url.Parse(s.TargetURL); err == nil {
		b.WriteString(hostPort(strings.ToLower(u.Scheme), u))
	}
	return b.String()
}

func shorten(list []string, none string) string {
	const most = 4
	switch {
	case len(list) == 0:
		return none
	case len(list) > most:
		return strings.Join(list[:most], ", ") + ", …"
	default:
		return strings.Join(list, ", ")
	}
}

// LogValue keeps URL, headers and secrets out of logs.
func (s *Subscription) LogValue() slog.Value {
	if s == nil {
		return slog.StringValue("")
	}
	return slog.StringValue(s.ID)
}

// MatchesEvent reports whether the record hears the event: one of its subject
// filters matches (or it has none), one of its event types matches (or it has
// none), and the tenants agree (tenant.go).
// Whether the record is active is not asked here. Nobody hears what is not an event.
func (s *Subscription) MatchesEvent(e *event.Event) bool {
	return !s.Alerts && e.Not == "" && s.HearsTenant(e) && s.HearsSubject(e) && s.HearsType(e)
}

// HearsAlert reports whether the record hears the alert: as an event, but for the
// tenant, which must be the record's own if it has one. It never hears alerts about
// itself.
func (s *Subscription) HearsAlert(e *event.Event, about, tenant string) bool {
	return s.Alerts && about != s.ID && (s.Tenant == "" || s.Tenant == tenant) && s.HearsSubject(e) && s.HearsType(e)
}

// HearsSubject reports whether one of the record's subject filters matches the
// event, or it has none.
func (s *Subscription) HearsSubject(e *event.Event) bool {
	return anyMatches(s.Subjects, e.Subject, SubjectMatches)
}

// HearsType reports whether one of the record's event types matches, or it has none.
func (s *Subscription) HearsType(e *event.Event) bool {
	return anyMatches(s.Types, e.MatchedType(), typeMatches)
}

// Refusal says why the record cannot get an event that matches it; "" if it can.
func (s *Subscription) Refusal(e *event.Event) string {
	if s.Tenant != "" && e.Tenant != "" && s.Tenant != e.Tenant { // a former build owed it
		return fmt.Sprintf("the event is of tenant %s, not of %s", event.Shorten(e.Tenant), s.Tenant)
	}
	if why := e.TooLong("event type"); why != "" && len(s.Types) > 0 {
		return why + " for eventTypes"
	}
	return ""
}

func anyMatches(patterns []string, value string, matches func(pattern, value string) bool) bool {
	for _, p := range patterns {
		if matches(p, value) {
			return true
		}
	}
	return len(patterns) == 0
}

// CheckSubjects warns about each subject filter that nothing in a stream with
// these subjects can match: most often a typing error. A stream without
// subjects of its own (it sources from others) gives no warnings.
func (s *Subscription) CheckSubjects(stream string, subjects []string) Problems {
	var p Problems
	for _, filter := range s.Subjects {
		if !anyMatches(subjects, filter, subjectsOverlap) { // also true for no subjects
			p = append(p, Problem{Field: "subjects", Warning: true, Message: quote(filter) +
				" never matches: the stream " + stream + " holds " + shorten(subjects, "nothing")})
		}
	}
	return p
}

// Beyond returns the subject filters of the record that none of the given
// filters covers; a record without filters hears all, which is ">".
func (s *Subscription) Beyond(filters []string) []string {
	own := s.Subjects
	if len(own) == 0 {
		own = []string{">"}
	}
	var beyond []string
	for _, f := range own {
		if !slices.ContainsFunc(filters, func(wide string) bool { return subjectSubsumes(wide, f) }) {
			beyond = append(beyond, f)
		}
	}
	return beyond
}

// compilation is a build that runs or has succeeded.
type compilation struct {
	value any
	err   error
	done  chan struct{} // nil once it has succeeded
}

var errBuildPanicked = errors.New("compile subscription: the build panicked")

// Compiled returns what build makes of the record. It is built once, by the
// first caller, and kept with the record; callers that come meanwhile wait for
// it. A failed build is not kept: they get its error, the next call tries again.
func (s *Subscription) Compiled(build func(*Subscription) (any, error)) (any, error) {
	for {
		c := s.compiled.Load()
		if c == nil {
			mine := &compilation{done: make(chan struct{})}
			if !s.compiled.CompareAndSwap(nil, mine) {
				continue
			}
			return s.compile(mine, build)
		}
		if c.done != nil {
			<-c.done
		}
		return c.value, c.err
	}
}

func (s *Subscription) compile(c *compilation, build func(*Subscription) (any, error)) (any, error) {
	c.err = errBuildPanicked
	defer func() {
		if c.err != nil {
			s.compiled.Store(nil)
		} else {
			s.compiled.Store(&compilation{value: c.value})
		}
		close(c.done)
	}()
	c.value, c.err = build(s)
	return c.value, c.err
}

// PerOrderURL reports whether the target URL holds a placeholder: then each
// order has a URL of its own.
func (s *Subscription) PerOrderURL() bool {
	for _, p := range [...]string{"{orderId}", "{legacyOrderId}", "<orderId>", "<legacyOrderId>"} {
		if strings.Contains(s.TargetURL, p) {
			return true
		}
	}
	return false
}

// HearsTenant reports whether the tenants of record and event agree: a record with a
// tenant hears the events of just that one, one without hears all.
func (s *Subscription) HearsTenant(e *event.Event) bool {
	return s.Tenant == "" || s.Tenant == e.Tenant
}
