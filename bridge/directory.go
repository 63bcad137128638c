package bridge

import (
	"slices"
	"strings"
	"sync"
)

// Directory holds the valid subscriptions by subject filter, event type and
// tenant, so that what a match costs depends on how many subscriptions match,
// not on how many exist. One goroutine writes, any number read.
//
// Filters are a trie of tokens whose literal edges lie in one map, so that a
// filter of its own costs a record about 150 bytes; at the nodes stand the
// subscriptions by event type, and below that by tenant. Only type patterns
// that begin and end with `*` (`*Line*`) are tried one by one, each distinct
// one once for a node. The subscriptions are those that ParseSubscription makes:
// no filter and no type twice.
type Directory struct {
	mu      sync.RWMutex
	version uint64
	byID    map[string]*Subscription
	root    *node
	edges   map[edge]*node
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
		delete(d.byID, s.ID) // the key must be the new record's memory
	}
	d.byID[s.ID] = s
	d.index(s)
	d.version++
}

// Remove takes the subscription out; one that is not there is no error.
func (d *Directory) Remove(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.byID[id]; old != nil {
		d.unindex(old)
		delete(d.byID, id)
	}
	d.version++
}

// Get returns the subscription, nil if there is none.
func (d *Directory) Get(id string) *Subscription {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id]
}

// Len tells how many subscriptions there are, inactive ones included.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.byID)
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
func (d *Directory) Match(ev *Event, dst []*Subscription) (matches []*Subscription, version uint64) {
	start := len(dst)
	d.mu.RLock()
	if ev.Not == "" {
		dst = d.walk(d.root, ev.Subject, ev, dst)
	}
	version = d.version
	d.mu.RUnlock()

	matches = dst[start:]
	if len(matches) > 1 {
		slices.SortFunc(matches, func(a, b *Subscription) int { return strings.Compare(a.ID, b.ID) })
		dst = dst[:start+len(slices.Compact(matches))]
	}
	return dst, version
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
func (d *Directory) walk(n *node, subject string, ev *Event, dst []*Subscription) []*Subscription {
	for {
		dst = n.rest.collect(ev, dst)
		token, rest, more := strings.Cut(subject, ".")
		var next *node
		if n.literals > 0 {
			next = d.edges[edge{n, token}]
		}
		switch {
		case !more:
			if n.star != nil {
				dst = n.star.here.collect(ev, dst)
			}
			if next != nil {
				dst = next.here.collect(ev, dst)
			}
			return dst
		case next == nil:
			next = n.star
		case n.star != nil:
			dst = d.walk(n.star, rest, ev, dst)
		}
		if next == nil {
			return dst
		}
		n, subject = next, rest
	}
}

func (d *Directory) index(s *Subscription) {
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

// shelf holds the subscriptions of one filter by event type. A nil shelf is
// empty and never changed: put and remove return the shelf that follows.
type shelf struct {
	untyped  group
	typed    map[string]*group // by exact type
	patterns *patterns         // nil if no type holds *
}

func (h *shelf) put(s *Subscription) *shelf {
	if h == nil {
		h = &shelf{}
	}
	if len(s.Types) == 0 {
		h.untyped.put(s)
	}
	for _, t := range s.Types {
		if strings.Contains(t, "*") {
			if h.patterns == nil {
				h.patterns = &patterns{}
			}
			h.patterns.put(t, s)
			continue
		}
		g := h.typed[t]
		if g == nil {
			g = &group{}
			if h.typed == nil {
				h.typed = make(map[string]*group, 1)
			}
			h.typed[t] = g
		}
		g.put(s)
	}
	return h
}

func (h *shelf) remove(s *Subscription) *shelf {
	if len(s.Types) == 0 {
		h.untyped.remove(s)
	}
	for _, t := range s.Types {
		if strings.Contains(t, "*") {
			h.patterns.remove(t, s)
			if h.patterns.empty() {
				h.patterns = nil
			}
			continue
		}
		g := h.typed[t]
		g.remove(s)
		if g.empty() {
			delete(h.typed, t)
		}
	}
	if h.untyped.empty() && len(h.typed) == 0 && h.patterns == nil {
		return nil
	}
	return h
}

func (h *shelf) collect(ev *Event, dst []*Subscription) []*Subscription {
	if h == nil {
		return dst
	}
	dst = h.untyped.collect(ev, dst)
	if g := h.typed[ev.Type]; g != nil {
		dst = g.collect(ev, dst)
	}
	if h.patterns != nil {
		dst = h.patterns.collect(ev, dst)
	}
	return dst
}

// patterns holds event types that hold `*` by the longer of the texts before
// their first and behind their last `*`.
type patterns struct {
	byPrefix, bySuffix map[string]map[string]*group // text -> pattern -> group
	longest            int                          // bytes of the longest text ever put
}

func (p *patterns) place(pattern string) (by *map[string]map[string]*group, text string) {
	prefix := pattern[:strings.IndexByte(pattern, '*')]
	suffix := pattern[strings.LastIndexByte(pattern, '*')+1:]
	if len(prefix) >= len(suffix) {
		return &p.byPrefix, prefix
	}
	return &p.bySuffix, suffix
}

func (p *patterns) put(pattern string, s *Subscription) {
	by, text := p.place(pattern)
	if *by == nil {
		*by = make(map[string]map[string]*group, 1)
	}
	if (*by)[text] == nil {
		(*by)[text] = make(map[string]*group, 1)
	}
	g := (*by)[text][pattern]
	if g == nil {
		g = &group{}
		(*by)[text][pattern] = g
	}
	g.put(s)
	p.longest = max(p.longest, len(text))
}

func (p *patterns) remove(pattern string, s *Subscription) {
	by, text := p.place(pattern)
	g := (*by)[text][pattern]
	g.remove(s)
	if !g.empty() {
		return
	}
	delete((*by)[text], pattern)
	if len((*by)[text]) == 0 {
		delete(*by, text)
	}
}

func (p *patterns) empty() bool { return len(p.byPrefix) == 0 && len(p.bySuffix) == 0 }

func (p *patterns) collect(ev *Event, dst []*Subscription) []*Subscription {
	for n := range min(len(ev.Type), p.longest) + 1 {
		dst = collectPatterns(p.byPrefix[ev.Type[:n]], ev, dst)
		dst = collectPatterns(p.bySuffix[ev.Type[len(ev.Type)-n:]], ev, dst)
	}
	return dst
}

func collectPatterns(candidates map[string]*group, ev *Event, dst []*Subscription) []*Subscription {
	for pattern, g := range candidates {
		if typeMatches(pattern, ev.Type) {
			dst = g.collect(ev, dst)
		}
	}
	return dst
}

// group holds subscriptions by tenant.
type group struct {
	untied   set // without tenant
	byTenant map[string]*set
}

func (g *group) put(s *Subscription) {
	if s.Tenant == "" {
		g.untied.put(s)
		return
	}
	t := g.byTenant[s.Tenant]
	if t == nil {
		t = &set{}
		if g.byTenant == nil {
			g.byTenant = make(map[string]*set, 1)
		}
		g.byTenant[s.Tenant] = t
	}
	t.put(s)
}

func (g *group) remove(s *Subscription) {
	if s.Tenant == "" {
		g.untied.remove(s)
		return
	}
	t := g.byTenant[s.Tenant]
	t.remove(s)
	if len(t.list) == 0 {
		delete(g.byTenant, s.Tenant)
	}
}

func (g *group) empty() bool { return len(g.untied.list) == 0 && len(g.byTenant) == 0 }

// collect: an event that tells no tenant is heard by those of every tenant.
func (g *group) collect(ev *Event, dst []*Subscription) []*Subscription {
	dst = append(dst, g.untied.list...)
	if ev.Tenant == "" {
		for _, t := range g.byTenant {
			dst = append(dst, t.list...)
		}
	} else if t := g.byTenant[ev.Tenant]; t != nil {
		dst = append(dst, t.list...)
	}
	return dst
}

// set is a list from which can be removed at once, however long it is.
type set struct {
	list []*Subscription
	at   map[*Subscription]int // places in list, once it is too long to search
}

const searchable = 32

func (t *set) put(s *Subscription) {
	if t.list == nil {
		t.list = make([]*Subscription, 0, 1)
	}
	t.list = append(t.list, s)
	switch {
	case t.at != nil:
		t.at[s] = len(t.list) - 1
	case len(t.list) > searchable:
		t.at = make(map[*Subscription]int, 2*searchable)
		for i, s := range t.list {
			t.at[s] = i
		}
	}
}

func (t *set) remove(s *Subscription) {
	i := slices.Index(t.list[:min(len(t.list), searchable)], s)
	if t.at != nil {
		i = t.at[s]
		delete(t.at, s)
	}
	last := len(t.list) - 1
	moved := t.list[last]
	t.list[i], t.list[last] = moved, nil
	t.list = t.list[:last]
	if t.at != nil && moved != s {
		t.at[moved] = i
	}
}
