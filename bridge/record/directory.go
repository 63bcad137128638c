package record

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"orderbridge/bridge/event"
)

// Directory holds the valid subscriptions by subject filter, event type and
// tenant, so that what a match costs depends on how many subscriptions match,
// not on how many exist. One goroutine writes, any number read.
//
// Filters are a trie of tokens whose literal edges lie in one map, so that a
// filter of its own costs a record about 150 bytes; at the nodes stand the
// subscriptions by event type, patterns by a text that the type must hold
// (patterns.go), and below that by tenant. The subscriptions are those that
// Parse makes: no filter and no type twice.
type Directory struct {
	mu      sync.RWMutex
	version uint64
	byID    map[string]*Subscription
	root    *node
	edges   map[edge]*node
	tied    int                      // subscriptions with a tenant
	alerts  map[string]*Subscription // those that hear alerts: they match nothing
}

// NewDirectory returns an empty Directory.
func NewDirectory() *Directory {
	return &Directory{byID: map[string]*Subscription{}, root: &node{}, edges: map[edge]*node{}}
}

// Put adds the subscription, or replaces the one of the same ID. One that is
// Inactive is kept for Get, but matches nothing.
func (d *Directory) Put(s *Subscription) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.byID[s.ID]; old != nil {
		d.unindex(old)
		d.count(old, -1)
		delete(d.byID, s.ID) // the key must be the new record's memory
	}
	d.byID[s.ID] = s
	d.index(s)
	d.count(s, 1)
	d.version++
}

// Remove takes the subscription out; one that is not there is no error.
func (d *Directory) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.byID[id]; old != nil {
		d.unindex(old)
		d.count(old, -1)
		delete(d.byID, id)
	}
	d.version++
}

// Alerts returns the subscriptions that hear alerts, by id, whether they are active
// or not.
func (d *Directory) Alerts() []*Subscription {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := slices.Collect(maps.Values(d.alerts))
	slices.SortFunc(list, func(a, b *Subscription) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Get returns the subscription, nil if there is none.
func (d *Directory) Get(id string) *Subscription {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id]
}

// len tells how many subscriptions there are, inactive ones included.
func (d *Directory) len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.byID)
}

// Tied tells how many subscriptions have a tenant.
func (d *Directory) Tied() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.tied
}

func (d *Directory) count(s *Subscription, n int) {
	if s.Tenant != "" {
		d.tied += n
	}
}

// Version grows with each Put and Remove.
func (d *Directory) Version() uint64 {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.version
}

// Match appends to dst each subscription that hears the event (MatchesEvent),
// once, in the order of their IDs, and returns it with the version that it
// speaks of. What was in dst stays as it is.
func (d *Directory) Match(ev *event.Event, dst []*Subscription) (matches []*Subscription, version uint64) {
	start := len(dst)
	d.mu.RLock()
	if ev.Not == "" {
		dst = d.walk(d.root, ev.Subject, ev.MatchedType(), ev.Tenant, dst)
	}
	version = d.version
	d.mu.RUnlock()

	matches = distinct(dst[start:])
	dst = dst[:start+len(matches)]
	if len(matches) > 1 {
		slices.SortFunc(matches, func(a, b *Subscription) int { return strings.Compare(a.ID, b.ID) })
		dst = dst[:start+len(slices.Compact(matches))]
	}
	return dst, version
}

// distinct leaves out, in place, what is there more than once, if the list is
// long: one record may be found by each of its patterns.
func distinct(list []*Subscription) []*Subscription {
	const long = 256
	if len(list) < long {
		return list
	}
	seen := make(map[*Subscription]bool, long)
	kept := list[:0]
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}

// all is the one filter of a subscription that has none.
var all = []string{">"}

func filtersOf(s *Subscription) []string {
	if len(s.Subjects) == 0 {
		return all
	}
	return s.Subjects
}

// node is the place in the trie behind some tokens of a filter.
type node struct {
	star     *node // behind a further `*`
	literals int   // how many edges lead on
	here     *shelf
	rest     *shelf // of the filters that end here with `>`
}

// edge leads from a node over a literal token.
type edge struct {
	from  *node
	token string
}

// walk collects what hears the rest of the subject behind node n.
func (d *Directory) walk(n *node, subject, typ, tenant string, dst []*Subscription) []*Subscription {
	for {
		dst = n.rest.collect(typ, tenant, dst)
		token, rest, more := strings.Cut(subject, ".")
		var next *node
		if n.literals > 0 {
			next = d.edges[edge{n, token}]
		}
		switch {
		case !more:
			if n.star != nil {
				dst = n.star.here.collect(typ, tenant, dst)
			}
			if next != nil {
				dst = next.here.collect(typ, tenant, dst)
			}
			return dst
		case next == nil:
			next = n.star
		case n.star != nil:
			dst = d.walk(n.star, rest, typ, tenant, dst)
		}
		if next == nil {
			return dst
		}
		n, subject = next, rest
	}
}

func (d *Directory) index(s *Subscription) {
	if s.Alerts {
		if d.alerts == nil {
			d.alerts = map[string]*Subscription{}
		}
		d.alerts[s.ID] = s
		return
	}
	if s.Inactive {
		return
	}
	for _, filter := range filtersOf(s) {
		n := d.root
		for token := range strings.SplitSeq(filter, ".") {
			if token == ">" {
				n.rest = n.rest.put(s)
				n = nil
				break
			}
			n = d.follow(n, token)
		}
		if n != nil {
			n.here = n.here.put(s)
		}
	}
}

func (d *Directory) follow(n *node, token string) *node {
	if token == "*" {
		if n.star == nil {
			n.star = &node{}
		}
		return n.star
	}
	next := d.edges[edge{n, token}]
	if next == nil {
		next = &node{}
		d.edges[edge{n, token}] = next
		n.literals++
	}
	return next
}

func (d *Directory) unindex(s *Subscription) {
	if s.Alerts {
		delete(d.alerts, s.ID)
		return
	}
	if s.Inactive {
		return
	}
	for _, filter := range filtersOf(s) {
		d.cut(d.root, filter, s)
	}
}

// cut removes the subscription behind node n, and the nodes that nobody needs any more.
func (d *Directory) cut(n *node, filter string, s *Subscription) {
	token, rest, more := strings.Cut(filter, ".")
	if token == ">" {
		n.rest = n.rest.remove(s)
		return
	}
	next := n.star
	if token != "*" {
		next = d.edges[edge{n, token}]
	}
	if more {
		d.cut(next, rest, s)
	} else {
		next.here = next.here.remove(s)
	}
	if next.star != nil || next.literals > 0 || next.here != nil || next.rest != nil {
		return
	}
	if token == "*" {
		n.star = nil
	} else {
		delete(d.edges, edge{n, token})
		n.literals--
	}
}
