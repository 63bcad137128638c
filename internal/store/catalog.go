package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/msgget"
)

// Scope says whose part of the state a caller may see and change. The zero
// value holds nothing.
type Scope struct {
	tenant string
	all    bool
}

// Everything is the scope of operators.
func Everything() Scope { return Scope{all: true} }

// OfTenant is the scope of one tenant: what carries its name, and nothing else.
// An empty name holds nothing.
func OfTenant(tenant string) Scope { return Scope{tenant: tenant} }

// Tenant is the tenant that the scope is confined to; false if to none.
func (s Scope) Tenant() (tenant string, confined bool) { return s.tenant, !s.all }

func (s Scope) holds(tenant string) bool { return s.all || tenant != "" && tenant == s.tenant }

// What a Catalog answers beside protocol.ErrNotFound, which it also says of what
// lies outside of the caller's scope.
var (
	// ErrChanged: somebody else has changed the record since it was read, or it
	// is there already.
	ErrChanged = errors.New("changed by somebody else meanwhile")
	// ErrNoLeader: no bridge leads at the moment, or it gave no answer in time.
	ErrNoLeader = errors.New("no bridge leads at the moment")
)

// RefusedError is a bridge's reason not to do what it was asked for.
type RefusedError struct {
	Reason string
	Code   int // as HTTP has it; 0: the state of things does not allow it (409)
}

func (e *RefusedError) Error() string { return e.Reason }

// Catalog is what people and programs read and change of the bridge's state:
// the records as `nats kv` does, by compare-and-set, and what the bridge says of
// them. Every call takes the caller's scope. Safe for concurrent use.
type Catalog struct {
	js     jetstream.JetStream
	names  Names
	parse  func([]byte) (protocol.DeadLetter, error)
	key    *Key    // nil: what is done through it is not signed
	index  *Index  // nil: lists read the whole bucket
	states *States // nil: none is followed
	singly bool    // lists make no consumer
	events *event.Decoder
	places *keyPlaces

	sessions *sessionsRead
}

// AnyRevision is what a write expects that replaces whatever is there.
const AnyRevision = math.MaxUint64

// NewCatalog opens the state under these names. parse reads a dead letter as it
// lies in its stream.
func NewCatalog(js jetstream.JetStream, n Names, parse func([]byte) (protocol.DeadLetter, error)) *Catalog {
	return &Catalog{js: js, names: n, parse: parse, places: &keyPlaces{}, sessions: &sessionsRead{writing: make(chan struct{}, 1)}}
}

// SignedBy has the catalog sign who does what is done through it (WithActor).
func (c *Catalog) SignedBy(k *Key) *Catalog {
	c.key = k
	return c
}

// WithIndex has lists read only what they show. The index must be fed.
func (c *Catalog) WithIndex(x *Index) *Catalog {
	c.index = x
	return c
}

// Singly has lists read entry by entry, for callers who may make no consumer.
func (c *Catalog) Singly() *Catalog {
	one := *c
	one.singly = true
	return &one
}

// Record is a subscription record as it is stored.
type Record struct {
	ID       string
	Value    []byte
	Revision uint64
	Time     time.Time // of this revision
}

// Tenant is what the record says; "" if it says nothing, or cannot be read.
func (r Record) Tenant() string { return tenantOf(r.Value) }

func tenantOf(record []byte) (tenant string) {
	if !json.Valid(record) {
		return ""
	}
	n := 0
	gjson.ParseBytes(record).ForEach(func(k, v gjson.Result) bool {
		if k.String() == "tenant" {
			n++
			tenant = v.Str
		}
		return true
	})
	if n > 1 { // whose it is, is not for us to guess
		return ""
	}
	return tenant
}

var safeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Record reads one record from the leader of the bucket.
func (c *Catalog) Record(ctx context.Context, scope Scope, id string) (Record, error) {
	if !safeID.MatchString(id) {
		return Record{}, fmt.Errorf("subscription %q: %w", id, protocol.ErrNotFound)
	}
	e, err := readEntry(ctx, c.js, c.names.Subscriptions, id)
	if err == nil && !scope.holds(tenantOf(e.Value)) {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return Record{}, fmt.Errorf("read subscription %q: %w", id, err)
	}
	return Record{id, e.Value, e.Revision, e.Time}, nil
}

// Records returns the first limit records by id after the given one that pass
// the filter and that keep says yes to (nil: all), and where to go on: "" if there
// are no more. With an index a page may end earlier, bounded by what it reads.
func (c *Catalog) Records(ctx context.Context, scope Scope, f Filter, after string, limit int,
	keep func(Record) bool) ([]Record, string, error) {
	good := func(r Record) bool { return scope.holds(tenantOf(r.Value)) && (keep == nil || keep(r)) }
	if c.index != nil {
		return walk(ctx, c,
			walkOf[Record]{scope: scope, filter: f, after: after, limit: limit,
				read: func(ctx context.Context, p place) (Record, int, error) {
					e, err := readEntry(ctx, c.js, c.names.Subscriptions, p.id)
					r := Record{p.id, e.Value, e.Revision, e.Time}
					switch {
					case errors.Is(err, protocol.ErrNotFound):
						c.index.lost(p.id, p.revision)
					case err == nil && !good(r):
						err = protocol.ErrNotFound
					}
					return r, len(e.Value), err
				}})
	}
	p := page[Record]{after: after, limit: limit, key: func(r Record) string { return r.ID }}
	err := c.each(ctx, c.names.Subscriptions, func(e Entry) error {
		r := Record{e.Key, e.Value, e.Revision, e.Time}
		if p.wants(r.ID) && (f.ID == nil || f.ID(r.ID)) && good(r) {
			p.add(r)
		}
		return nil
	})
	items, next := p.items()
	return items, next, err
}

// Put stores a record if its revision still is expect (0: there must be none)
// and both what is there and what is put lie in the scope; else ErrChanged or
// protocol.ErrNotFound. AnyRevision is for those whose scope is everything.
func (c *Catalog) Put(ctx context.Context, scope Scope, id string, value []byte, expect uint64) (Record, error) {
	fail := func(err error) (Record, error) {
		return Record{}, fmt.Errorf("store subscription %q: %w", id, err)
	}
	if !safeID.MatchString(id) || !scope.holds(tenantOf(value)) {
		return fail(protocol.ErrNotFound)
	}
	if expect == 0 {
		marker, err := c.marker(ctx, id)
		if err != nil {
			return fail(err)
		}
		expect = marker
	} else if err := c.confirmScope(ctx, scope, id, expect); err != nil {
		return fail(err)
	}
	revision, err := c.writeRecord(ctx, id, value, expect)
	if err != nil {
		return fail(err)
	}
	return Record{ID: id, Value: value, Revision: revision, Time: time.Now()}, nil
}

// Remove deletes a record if its revision still is expect and it lies in the
// scope; see Put.
func (c *Catalog) Remove(ctx context.Context, scope Scope, id string, expect uint64) error {
	err := c.confirmScope(ctx, scope, id, expect)
	if err == nil {
		_, err = c.writeRecord(ctx, id, nil, expect)
	}
	if err != nil {
		return fmt.Errorf("delete subscription %q: %w", id, err)
	}
	return nil
}

// marker is the revision of the marker that a deleted record has left, 0 if
// there never was one; ErrChanged if there is a record.
func (c *Catalog) marker(ctx context.Context, id string) (uint64, error) {
	m, err := msgget.Last(ctx, c.js, bucketStream(c.names.Subscriptions), storedSubject(id))
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return 0, nil
	case err != nil:
		return 0, err
	case !isMarker(m.Header):
		return 0, ErrChanged
	}
	return m.Seq, nil
}

// confirmScope makes sure that the revision that is about to be replaced is one
// that the caller may see.
func (c *Catalog) confirmScope(ctx context.Context, scope Scope, id string, expect uint64) error {
	if expect == AnyRevision && scope.all {
		return nil
	}
	r, err := c.Record(ctx, scope, id)
	if err == nil && r.Revision != expect {
		err = ErrChanged
	}
	return err
}

func (c *Catalog) writeRecord(ctx context.Context, id string, value []byte, expect uint64) (uint64, error) {
	if expect == AnyRevision {
		return writeRecord(ctx, c.js, c.names.Subscriptions, id, value, nil, c.key)
	}
	return writeRecord(ctx, c.js, c.names.Subscriptions, id, value, &expect, c.key)
}

func changed(err error) error {
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrKeyExists) ||
		errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return ErrChanged
	}
	return err
}

// Verdict is what the bridge says of a subscription.
type Verdict struct {
	ID string `json:"id"`
	protocol.Status
}

// Status reads what the bridge says of a subscription whose record lies in the
// scope; protocol.ErrNotFound also if it has said nothing yet.
func (c *Catalog) Status(ctx context.Context, scope Scope, id string) (Verdict, error) {
	if _, err := c.Record(ctx, scope, id); err != nil {
		return Verdict{}, err
	}
	status, err := c.LastStatus(ctx, id)
	return Verdict{id, status}, err
}

// LastStatus reads what the bridge has said of a subscription, also of one whose
// record is gone; it is for those whose scope is everything.
func (c *Catalog) LastStatus(ctx context.Context, id string) (status protocol.Status, err error) {
	e, err := readEntry(ctx, c.js, c.names.Status, id)
	if err == nil {
		err = json.Unmarshal(e.Value, &status)
	}
	if err != nil {
		return status, fmt.Errorf("read the status of subscription %q: %w", id, err)
	}
	return status, nil
}

// owners tells, for one call, which subscriptions of which generation lie in a scope.
type owners struct {
	catalog *Catalog
	scope   Scope
	known   map[string]uint64 // generation of those in the scope; 0: not in it
}

// hold is true for a debt or dead letter of the generation that the record in
// the scope has now: an id that was another tenant's before gives nothing away.
func (o *owners) hold(ctx context.Context, id string, generation uint64) (bool, error) {
	if o.scope.all {
		return true, nil
	}
	own, seen := o.known[id]
	if !seen {
		v, err := o.catalog.Status(ctx, o.scope, id)
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return false, err
		}
		own = v.Generation
		if o.known == nil {
			o.known = map[string]uint64{}
		}
		o.known[id] = own
	}
	return own != 0 && own == generation, nil
}

// page collects the first limit items by key after a key, and knows whether
// there are more. It holds a few times limit items at most.
type page[T any] struct {
	after string
	limit int
	key   func(T) string
	list  []T
	last  string // above it nothing is wanted any more; "": not known yet
}

func (p *page[T]) wants(key string) bool { return key > p.after && (p.last == "" || key <= p.last) }

func (p *page[T]) add(item T) {
	p.list = append(p.list, item)
	if len(p.list) > 2*p.limit+2 {
		p.cut()
		p.last = p.key(p.list[len(p.list)-1])
	}
}

func (p *page[T]) cut() {
	slices.SortFunc(p.list, func(a, b T) int { return strings.Compare(p.key(a), p.key(b)) })
	p.list = p.list[:min(len(p.list), p.limit+1)] // one more shows that there are more
}

// items are the page, and the key of its last item if there are more.
func (p *page[T]) items() (items []T, next string) {
	p.cut()
	if len(p.list) > p.limit {
		next = p.key(p.list[p.limit-1])
	}
	return p.list[:min(len(p.list), p.limit)], next
}
