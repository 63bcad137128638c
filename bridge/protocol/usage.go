package protocol

import "fmt"

// Usage is how much of what is shared is taken, for metrics and people.
type Usage struct {
	Resource string
	Used     int64
	Size     int64
	Tenant   string // the one that has most of it
	Most     int64
	Waiting  int // subscriptions that wait for it; of attempts only
}

// usage tells it for each resource: as many lines as there are resources,
// however many tenants there are.
func (c *Machine) usage() []Usage {
	all := make([]Usage, resources)
	for r := range resources {
		p := c.shares.pools[r]
		tenant, most := c.shares.most(r)
		all[r] = Usage{Resource: r.String(), Used: p.used, Size: p.size, Tenant: tenant, Most: most}
	}
	for _, t := range c.shares.tenants {
		all[slots].Waiting += len(t.waiting)
	}
	return all
}

// note says who takes most where there is little left; "" where there is enough.
func (u Usage) note() string {
	if u.Used*4 < u.Size*3 {
		return ""
	}
	who := "subscriptions without a tenant have"
	if u.Tenant != "" {
		who = fmt.Sprintf("tenant %q has", u.Tenant)
	}
	return fmt.Sprintf("%d of %d %s are in use, %s %d of them; what is free is kept for the others", u.Used, u.Size, u.Resource, who, u.Most)
}
