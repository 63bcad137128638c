package protocol

// What there is only so much of is shared: between tenants, and between the
// subscriptions of each. A tenant may take more as long as it has less than some
// times (k) what is free beyond a reserve of a sixteenth, or less than an eighth
// of what is free; within what it may yet take, the same holds for each of its
// subscriptions. So
//   - who is alone may have most of it: k/(k+1) of what is not reserved;
//   - the more somebody has, the less is left for it to take: something is
//     always free for those who have little, without anybody being asked to give
//     back, which a running attempt cannot;
//   - many who come one after the other and give nothing back each leave
//     something: of the reserve each takes an eighth of what the one before left;
//   - what hangs counts against its owner.
//
// Subscriptions without a tenant have one share together; each of them may begin
// with one all the same. A tenant's weight multiplies what it may have.

// resource is one kind of what is shared.
type resource int

const (
	slots  resource = iota // attempts under way
	flight                 // bytes of the events of these
	ahead                  // bytes of what readers have in memory
	space                  // bytes of entries in the ledger
	places                 // held lanes
	resources
)

// String is the name in metrics and texts.
func (r resource) String() string {
	return [...]string{"attempts", "event bytes", "read bytes", "ledger bytes", "waiting orders"}[r]
}

// pool is how much there is of one resource.
type pool struct {
	size int64
	used int64
	keen int64 // k
}

// room is how much more may be taken, of size in all, by somebody who has own of
// what is used.
func (p *pool) room(size, used, own, weight int64) int64 {
	free := size - used
	if free <= 0 {
		return 0
	}
	k := p.keen * weight
	ample := (k*(free-size/reserve) - own) / (k + 1)
	scarce := (weight*free - sparing*own) / (sparing + weight)
	n := max(ample, scarce)
	if n <= 0 && own == 0 {
		n = 1
	}
	return min(max(n, 0), free)
}

// The part of a pool that is kept for those who have little, and the part of
// what is free that each of them may take of it.
const (
	reserve = 16
	sparing = 8
)

// may tells whether a subscription may take more.
func (p *pool) may(weight, tenant, subscription int64) bool {
	left := p.room(p.size, p.used, tenant, weight)
	return left > 0 && p.room(tenant+left, tenant, subscription, 1) > 0
}

// shares are all pools, and who has how much of them.
type shares struct {
	pools   [resources]pool
	weights map[string]int // of tenants; 1 where it says nothing
	tenants map[string]*tenantShare
}

// tenantShare is what the subscriptions of a tenant have together.
type tenantShare struct {
	name    string
	weight  int64
	members int
	used    [resources]int64
	waiting []*sub // for a slot, in the order of their turns (turns.go)
	inTurn  bool
}

// ownShare is what one subscription has.
type ownShare struct {
	of   *tenantShare
	used [resources]int64
}

func (x *shares) tenant(name string) *tenantShare {
	t := x.tenants[name]
	if t == nil {
		t = &tenantShare{name: name, weight: int64(max(1, x.weights[name]))}
		if x.tenants == nil {
			x.tenants = map[string]*tenantShare{}
		}
		x.tenants[name] = t
	}
	return t
}

// join makes the share of a subscription, which has nothing yet.
func (x *shares) join(tenant string) *ownShare {
	o := &ownShare{of: x.tenant(tenant)}
	o.of.members++
	return o
}

// leave gives back all that a subscription has.
func (x *shares) leave(o *ownShare) {
	for r := range o.used {
		x.release(o, resource(r), o.used[r])
	}
	if o.of.members--; o.of.members == 0 {
		delete(x.tenants, o.of.name)
	}
}

// move: the record names another tenant now.
func (x *shares) move(o *ownShare, tenant string) {
	from, to := o.of, x.tenant(tenant)
	if from == to {
		return
	}
	for r, n := range o.used {
		from.used[r] -= n
		to.used[r] += n
	}
	to.members++
	if from.members--; from.members == 0 {
		delete(x.tenants, from.name)
	}
	o.of = to
}

func (x *shares) may(o *ownShare, r resource) bool {
	return x.pools[r].may(o.of.weight, o.of.used[r], o.used[r]) || x.begins(o, r)
}

// begins tells whether it is the first for a subscription that no tenant answers
// for: others without a tenant are not its like, so what they have together does
// not keep it from beginning, down to the reserve.
func (x *shares) begins(o *ownShare, r resource) bool {
	p := &x.pools[r]
	return o.of.name == "" && o.used[r] == 0 && p.size-p.used > max(p.size/reserve, 1)
}

func (x *shares) acquire(o *ownShare, r resource, n int64) {
	x.pools[r].used += n
	o.of.used[r] += n
	o.used[r] += n
}

func (x *shares) release(o *ownShare, r resource, n int64) { x.acquire(o, r, -n) }

// most is the tenant that has most of a resource, and how much.
func (x *shares) most(r resource) (tenant string, used int64) {
	for name, t := range x.tenants {
		if t.used[r] > used || t.used[r] == used && used > 0 && name < tenant {
			tenant, used = name, t.used[r]
		}
	}
	return tenant, used
}
