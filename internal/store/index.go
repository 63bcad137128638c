package store

import (
	"hash/fnv"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// Index knows which records there are, whose they are and how large, so that a
// list reads no more of the bucket than it shows, and a quota is counted from
// what is stored, however it was put. It holds no values. It hears every message
// of the bucket once, in order. Safe for concurrent use.
type Index struct {
	mu      sync.Mutex
	created int64  // of the bucket, Unix nanoseconds
	seen    uint64 // all up to here has been heard
	heard   chan struct{}
	taps    int // watches that feed it
	tapped  chan struct{}
	items   map[string]*indexed
	all     *shelf
	tenants map[string]*shelf
}

// indexed is what is known of one record.
type indexed struct {
	id       string
	tenant   *shelf // nil: it tells none
	revision uint64
	host     uint64 // hash of the host of targetURL
	size     int32
	status   string   // one of those of a record
	labels   []uint64 // hashes of each label's name, and of name=value
	gone     bool
}

// shelf holds the records of a tenant, or all.
type shelf struct {
	tenant        string
	sorted, fresh []*indexed // fresh ones are not sorted in yet; both may hold what is gone
	records       int
	bytes         int64
}

// Usage is what the records of a tenant take.
type Usage struct {
	Tenant  string
	Records int
	Bytes   int64
}

// NewIndex returns an Index that has heard nothing yet.
func NewIndex() *Index {
	x := &Index{heard: make(chan struct{}), tapped: make(chan struct{})}
	x.reset(0)
	return x
}

func (x *Index) reset(created int64) {
	x.created, x.seen = created, 0
	x.items, x.all, x.tenants = map[string]*indexed{}, &shelf{}, map[string]*shelf{}
}

// hear takes a message of the bucket that was made then; ok is false for one
// that changes no record.
func (x *Index) hear(created int64, seq uint64, rev protocol.Revision, ok bool) {
	var item *indexed
	if ok && !rev.Deleted {
		item = describeRecord(rev)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if created > x.created {
		x.reset(created)
	}
	if created < x.created || seq <= x.seen {
		return
	}
	x.seen = seq
	close(x.heard)
	x.heard = make(chan struct{})
	if !ok {
		return
	}
	x.drop(rev.Key)
	if item == nil {
		return
	}
	x.items[item.id] = item
	x.all.put(item)
	if item.tenant != nil {
		own := x.tenants[item.tenant.tenant]
		if own == nil {
			own = &shelf{tenant: item.tenant.tenant}
			x.tenants[own.tenant] = own
		}
		item.tenant = own
		own.put(item)
	}
}

func (x *Index) drop(id string) {
	was := x.items[id]
	if was == nil {
		return
	}
	was.gone = true
	delete(x.items, id)
	x.all.count(was, -1)
	if t := was.tenant; t != nil {
		if t.count(was, -1); t.records == 0 {
			delete(x.tenants, t.tenant)
		}
	}
}

// lost takes out a record that went without a message.
func (x *Index) lost(id string, revision uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if item := x.items[id]; item != nil && item.revision == revision {
		x.drop(id)
	}
}

func (s *shelf) put(item *indexed) {
	s.fresh = append(s.fresh, item)
	s.count(item, 1)
}

func (s *shelf) count(item *indexed, sign int) {
	s.records += sign
	s.bytes += int64(sign) * int64(item.size)
}

// list is all that is there, by id.
func (s *shelf) list() []*indexed {
	byID := func(a, b *indexed) int { return strings.Compare(a.id, b.id) }
	if len(s.fresh) > 0 || len(s.sorted) > 2*s.records+16 {
		fresh := slices.DeleteFunc(s.fresh, func(i *indexed) bool { return i.gone })
		slices.SortFunc(fresh, byID)
		merged := make([]*indexed, 0, len(s.sorted)+len(fresh))
		for _, item := range s.sorted {
			for len(fresh) > 0 && byID(fresh[0], item) < 0 {
				merged, fresh = append(merged, fresh[0]), fresh[1:]
			}
			if !item.gone {
				merged = append(merged, item)
			}
		}
		s.sorted, s.fresh = append(merged, fresh...), nil
	}
	return s.sorted
}

// Filter is what a list of records is confined to; zero members confine nothing.
type Filter struct {
	Status string            // active (with paused), paused or deactivated
	Host   string            // of targetURL
	Tenant string            // as the record tells it
	Alone  bool              // it tells none
	Label  string            // name, or name=value, of its labels
	ID     func(string) bool // nil: any
}

func (f Filter) holds(i *indexed) bool {
	switch {
	case i.gone,
		!HasStatus(f.Status, i.status),
		f.Host != "" && hostHash(f.Host) != i.host,
		f.Tenant != "" && (i.tenant == nil || i.tenant.tenant != f.Tenant),
		f.Alone && i.tenant != nil,
		f.Label != "" && !slices.Contains(i.labels, textHash(f.Label)):
		return false
	}
	return f.ID == nil || f.ID(i.id)
}

// place is where a record stands, at the revision that was heard.
type place struct {
	id       string
	revision uint64
	size     int
}

// page returns at most limit records by id after the given one.
func (x *Index) page(scope Scope, f Filter, after string, limit int) []place {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.all
	if !scope.all {
		if s = x.tenants[scope.tenant]; s == nil || scope.tenant == "" {
			return nil
		}
	} else if f.Tenant != "" {
		if s = x.tenants[f.Tenant]; s == nil {
			return nil
		}
	}
	list := s.list()
	at, _ := slices.BinarySearchFunc(list, after+"\x00",
		func(i *indexed, id string) int { return strings.Compare(i.id, id) })
	var out []place
	for _, i := range list[at:] {
		if len(out) == limit {
			break
		}
		if f.holds(i) {
			out = append(out, place{i.id, i.revision, int(i.size)})
		}
	}
	return out
}

// Usage is what the records of a tenant take, as far as the index has heard.
func (x *Index) Usage(tenant string) Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.tenants[tenant]; s != nil {
		return Usage{tenant, s.records, s.bytes}
	}
	return Usage{Tenant: tenant}
}

// Usages are those of all tenants for which want says yes, by name.
func (x *Index) Usages(want func(Usage) bool) []Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []Usage
	for _, s := range x.tenants {
		if u := (Usage{s.tenant, s.records, s.bytes}); want(u) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b Usage) int { return strings.Compare(a.Tenant, b.Tenant) })
	return out
}

// describeRecord reads what the index keeps of a record. One that cannot be read
// is nobody's.
func describeRecord(rev protocol.Revision) *indexed {
	item := &indexed{id: rev.Key, revision: rev.Revision, size: int32(min(len(rev.Value), 1<<30))}
	if tenant := tenantOf(rev.Value); tenant != "" {
		item.tenant = &shelf{tenant: tenant}
	}
	if !gjson.ValidBytes(rev.Value) {
		return item
	}
	found := gjson.GetManyBytes(rev.Value, "status", "targetURL", "labels")
	item.status = recordStatus(found[0].Str)
	if u, err := url.Parse(found[1].Str); err == nil {
		item.host = hostHash(u.Hostname())
	}
	if found[2].IsObject() {
		found[2].ForEach(func(name, value gjson.Result) bool {
			item.labels = append(item.labels, textHash(name.Str), textHash(name.Str+"="+value.Str))
			return true
		})
	}
	return item
}

// HasStatus tells whether a record of a status (as it stands in the record) is one
// of those that are asked for: all, active with those that are paused, paused, or
// deactivated.
func HasStatus(asked, status string) bool {
	status = recordStatus(status)
	return asked == "" || asked == status || asked == record.StatusActive && status == record.StatusPaused
}

// recordStatus is one of the values that there are.
func recordStatus(told string) string {
	for _, status := range []string{record.StatusPaused, record.StatusDeactivated} {
		if told == status {
			return status
		}
	}
	return record.StatusActive
}

func hostHash(host string) uint64 { return textHash(strings.ToLower(host)) }

func textHash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum64()
}
