package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Attempt is an entry of the delivery log.
type Attempt struct {
	Entry uint64 `json:"entry"` // its sequence in the log
	bridge.Attempt
}

// AttemptQuery says which entries of the delivery log are wanted; what is empty is any.
type AttemptQuery struct {
	Subscription string
	Order        string
	Event        string // id of the event, of the delivery, or the event's sequence in the source stream
	Outcome      string // as in bridge.Attempt
	Status       string // "503", or "5xx" for all of the class
	Since, Until time.Time
}

// outcomes are those that an entry can have.
var outcomes = []string{bridge.OutcomeDelivered, bridge.OutcomeFailed, bridge.OutcomeCut, bridge.OutcomeFiltered,
	bridge.OutcomeSuperseded, bridge.OutcomeDead}

// Check says what is wrong with a query: the name of the member, and why.
func (q AttemptQuery) Check() (member string, err error) {
	switch {
	case q.Subscription != "" && !safeID.MatchString(q.Subscription):
		return "subscription", fmt.Errorf("%q is not an id: 1 to 64 letters, digits, - and _", q.Subscription)
	case q.Outcome != "" && !slices.Contains(outcomes, q.Outcome):
		return "outcome", fmt.Errorf("%q is none of %s", q.Outcome, strings.Join(outcomes, ", "))
	case len(q.Order) > limits.ValueBytes:
		return "order", fmt.Errorf("it has more than %d bytes", limits.ValueBytes)
	}
	if !goodStatus(q.Status) {
		return "status", fmt.Errorf("%q is no HTTP status; write 503, or 5xx for all that begin with 5", q.Status)
	}
	return "", nil
}

func goodStatus(s string) bool {
	if s == "" {
		return true
	}
	if len(s) != 3 || s[0] < '1' || s[0] > '9' {
		return false
	}
	_, err := strconv.Atoi(s)
	return err == nil || strings.EqualFold(s[1:], "xx")
}

func (q AttemptQuery) wants(a *bridge.Attempt) bool {
	switch status := strconv.Itoa(a.Status); {
	case q.Subscription != "" && a.Subscription != q.Subscription,
		q.Order != "" && a.Order != q.Order,
		q.Outcome != "" && a.Outcome != q.Outcome,
		q.Status != "" && status != q.Status && !(strings.EqualFold(q.Status[1:], "xx") && status[0] == q.Status[0]),
		q.Event != "" && !slices.Contains([]string{a.EventID, a.PublisherID, a.DeliveryID, strconv.FormatUint(a.Sequence, 10)}, q.Event):
		return false
	}
	return !a.Time.Before(q.Since) && (q.Until.IsZero() || !a.Time.After(q.Until))
}

// AttemptPage is one page of the delivery log.
type AttemptPage struct {
	Items []Attempt `json:"items"`
	// Next is where to go on: below this entry, and with Above above it. 0: there are no more.
	Next uint64 `json:"next,omitempty"`
	// Last is the last entry of the log that was looked at; what is above it is new. A
	// tenant with limits.LiveOwn subscriptions or fewer is told the last of its own.
	Last uint64 `json:"last"`
	// Looked is how many entries were looked at; where that was as many as one call
	// looks at, the page holds fewer than it might, and there is a Next.
	Looked int `json:"looked"`
}

// Attempts returns the newest limit entries below the entry before (0: all) that a
// query wants and the scope holds, newest first. protocol.ErrNotFound if there is
// no delivery log. A page may end earlier, bounded by what it reads.
func (c *Catalog) Attempts(ctx context.Context, scope Scope, q AttemptQuery, before uint64, limit int) (AttemptPage,
	error) {
	r, low, high, err := c.attemptRange(ctx, scope, q)
	if err != nil {
		return AttemptPage{Items: []Attempt{}}, err
	}
	// Asked before the entries are: what comes meanwhile is above it.
	last, err := r.lastFor(ctx)
	if err != nil || low > high {
		return AttemptPage{Items: []Attempt{}, Last: last}, err
	}
	if before > 0 {
		high = min(high, before-1)
	}
	if q.Order != "" {
		err = r.byOrder(ctx, low, high, limit)
	} else {
		err = r.back(ctx, low, high, limit)
	}
	if err != nil {
		return AttemptPage{}, fmt.Errorf("read stream %q: %w", c.names.Attempts, err)
	}
	page := AttemptPage{Items: r.found, Next: r.next, Last: last, Looked: r.toldTo(scope, len(r.found))}
	if len(page.Items) > limit {
		page.Items = page.Items[:limit]
		page.Next = page.Items[limit-1].Entry
	}
	return page, nil
}

// AttemptsAbove returns the first limit entries above an entry that a query wants
// and the scope holds, oldest first: with the Last of a page, what came since.
func (c *Catalog) AttemptsAbove(ctx context.Context, scope Scope, q AttemptQuery, above uint64, limit int) (AttemptPage,
	error) {
	r, low, high, err := c.attemptRange(ctx, scope, q)
	if err != nil {
		return AttemptPage{Items: []Attempt{}, Last: above}, err
	}
	filters, own, err := r.ownFilters(ctx)
	if err != nil {
		return AttemptPage{}, err
	}
	var found []Attempt
	last := above
	if low = max(low, above+1); own {
		found, last, err = r.oldestUnder(ctx, filters, low, high)
	} else if low <= high {
		high = min(high, low+limits.AttemptScan-1)
		last = high
		found, _, err = r.read(ctx, r.filter, low, high, limits.AttemptScan)
	}
	if err != nil {
		return AttemptPage{}, fmt.Errorf("read stream %q: %w", c.names.Attempts, err)
	}
	page := AttemptPage{Items: append([]Attempt{}, found...), Last: max(above, last), Looked: r.toldTo(scope, len(found))}
	if len(found) > limit {
		page.Items = found[:limit]
		page.Last = found[limit-1].Entry
	}
	return page, nil
}

// attemptRange opens the log, and tells between which entries those of a query lie.
func (c *Catalog) attemptRange(ctx context.Context, scope Scope, q AttemptQuery) (r attemptReader, low, high uint64,
	err error) {
	subscription, token := cmp.Or(q.Subscription, "*"), "*"
	if q.Order != "" {
		token = event.OrderToken(q.Order)
	}
	r = attemptReader{catalog: c, q: q, token: token, owners: owners{catalog: c, scope: scope}, found: []Attempt{},
		filter: c.names.AttemptSubject + "." + subscription + "." + token}
	info, err := c.streamInfo(ctx, c.names.Attempts)
	if err != nil {
		return r, 0, 0, err
	}
	low, high = max(info.State.FirstSeq, 1), info.State.LastSeq
	r.last = high
	if info.State.Msgs == 0 {
		return r, 1, 0, nil
	}
	if !q.Since.IsZero() {
		if low, err = reached(ctx, c.js, c.names.Attempts, low, high+1, q.Since); err != nil {
			return r, 0, 0, err
		}
	}
	if !q.Until.IsZero() {
		after, err := reached(ctx, c.js, c.names.Attempts, low, high+1, q.Until.Add(limits.AttemptLate))
		if err != nil {
			return r, 0, 0, err
		}
		high = after - 1
	}
	return r, low, high, nil
}

type attemptReader struct {
	catalog *Catalog
	q       AttemptQuery
	owners  owners
	filter  string
	token   string // of the order; *: of any
	last    uint64

	found  []Attempt // newest first
	next   uint64
	looked int
}

// toldTo is how many entries a caller is told were looked at: whoever is confined
// to a tenant is not told how many there are of others.
func (r *attemptReader) toldTo(scope Scope, found int) int {
	if _, confined := scope.Tenant(); confined && r.next == 0 {
		return found
	}
	return r.looked
}

// reached is the first sequence of [low, high) of a stream whose message was stored
// at a time or later; high if there is none.
func reached(ctx context.Context, js jetstream.JetStream, stream string, low, high uint64, t time.Time) (uint64, error) {
	end := high
	for low < high {
		middle := low + (high-low)/2
		m, err := msgget.Next(ctx, js, stream, middle, ">")
		switch {
		case errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq >= high:
			high = middle // nothing is left of what lies between
		case err != nil:
			return 0, fmt.Errorf("read stream %q: %w", stream, err)
		case m.Time.Before(t):
			low = m.Seq + 1
		default:
			high = middle
		}
	}
	return min(low, end), nil
}

// errManyMatch says that a part of the log holds more than one call looks at.
var errManyMatch = errors.New("too many entries at once")

// read returns the entries of [low, high] under a filter that are wanted, oldest
// first, and how many it looked at; errManyMatch if these are more than most.
func (r *attemptReader) read(ctx context.Context, filter string, low, high uint64, most int) ([]Attempt, int, error) {
	looked := 0
	found, err := scan(ctx, r.catalog.js, r.catalog.names.Attempts, filter, low, high, most,
		func(m *event.Message) (Attempt, bool, error) {
			if looked++; looked > most {
				return Attempt{}, false, errManyMatch
			}
			return r.entry(ctx, m)
		})
	r.looked += looked
	return found, looked, err
}

// entry is false for what the query does not want, the scope does not hold, or is
// no entry.
func (r *attemptReader) entry(ctx context.Context, m *event.Message) (Attempt, bool, error) {
	a := Attempt{Entry: m.Seq}
	if json.Unmarshal(m.Data, &a.Attempt) != nil || !r.q.wants(&a.Attempt) {
		return a, false, nil
	}
	scope := r.owners.scope
	if a.Tenant != "" && !scope.holds(a.Tenant) {
		return a, false, nil
	}
	own, err := r.owners.hold(ctx, a.Subscription, a.Generation)
	return a, own, err
}

// back looks back from high, over more and more sequences where little is found.
func (r *attemptReader) back(ctx context.Context, low, high uint64, limit int) error {
	for window := uint64(max(limits.AttemptWindow, limit)); high >= low; {
		from := low
		if high-low >= window {
			from = high - window + 1
		}
		part, looked, err := r.read(ctx, r.filter, from, high, limits.AttemptScan)
		if errors.Is(err, errManyMatch) {
			window /= 16
			continue
		}
		if err != nil {
			return err
		}
		slices.Reverse(part)
		r.found = append(r.found, part...)
		high = from - 1
		if len(r.found) > limit {
			return nil
		}
		if r.looked >= limits.AttemptScan && high >= low {
			r.next = from
			return nil
		}
		if looked < limits.AttemptWindow {
			window *= 4
		}
	}
	return nil
}

// byOrder reads the entries of one order, of each subscription by its subject.
func (r *attemptReader) byOrder(ctx context.Context, low, high uint64, limit int) error {
	filters := []string{r.filter}
	if r.q.Subscription == "" {
		var err error
		if filters, err = subjectsUnder(ctx, r.catalog.js, r.catalog.names.Attempts, r.filter); err != nil {
			return err
		}
	}
	for _, filter := range filters {
		part, _, err := r.read(ctx, filter, low, high, limits.AttemptScan)
		if err != nil {
			return err
		}
		r.found = append(r.found, part...)
		r.sort(limit)
	}
	return nil
}

// sort keeps the newest, newest first; one more than the limit shows that there are more.
func (r *attemptReader) sort(limit int) {
	slices.SortFunc(r.found, func(a, b Attempt) int { return cmp.Compare(b.Entry, a.Entry) })
	r.found = r.found[:min(len(r.found), limit+1)]
}

// subjectsUnder are the subjects of a stream that a filter matches, in order.
func subjectsUnder(ctx context.Context, js jetstream.JetStream, stream, filter string) ([]string, error) {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, err
	}
	subjects := make([]string, 0, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		subjects = append(subjects, subject)
	}
	slices.Sort(subjects)
	return subjects, nil
}
