package record

import (
	"slices"
	"strings"
)

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

func (h *shelf) collect(typ, tenant string, dst []*Subscription) []*Subscription {
	if h == nil {
		return dst
	}
	dst = h.untyped.collect(tenant, dst)
	if g := h.typed[typ]; g != nil {
		dst = g.collect(tenant, dst)
	}
	if h.patterns != nil {
		dst = h.patterns.collect(typ, tenant, dst)
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

// collect: an event of no tenant is heard by those without one (tenant.go).
func (g *group) collect(tenant string, dst []*Subscription) []*Subscription {
	dst = append(dst, g.untied.list...)
	if tenant == "" {
		return dst
	}
	if t := g.byTenant[tenant]; t != nil {
		dst = append(dst, t.list...)
	}
	return dst
}

// heardBy tells whether collect would find any.
func (g *group) heardBy(tenant string) bool {
	return len(g.untied.list) > 0 || tenant != "" && g.byTenant[tenant] != nil
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
