package protocol

import (
	"math/rand/v2"
	"testing"
)

// greed lets subscriptions take one after the other until nobody may take more.
func greed(x *shares, r resource, own []*ownShare, step int64) {
	for again := true; again; {
		again = false
		for _, o := range own {
			if x.may(o, r) {
				x.acquire(o, r, step)
				again = true
			}
		}
	}
}

// churn lets attempts end, and others begin, for long.
func churn(x *shares, r resource, own []*ownShare, rounds int) {
	rnd := rand.New(rand.NewPCG(1, 2))
	held := make([]*ownShare, 0, x.pools[r].size)
	tenants := map[string][]*ownShare{}
	for _, o := range own {
		tenants[o.of.name] = append(tenants[o.of.name], o)
	}
	names := sorted(tenants)
	for _, o := range own {
		for range o.used[r] {
			held = append(held, o)
		}
	}
	for range rounds {
		if len(held) > 0 {
			i := rnd.IntN(len(held))
			x.release(held[i], r, 1)
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
		for range 4 { // whose turn it is
			of := tenants[names[rnd.IntN(len(names))]]
			if o := of[rnd.IntN(len(of))]; x.may(o, r) {
				x.acquire(o, r, 1)
				held = append(held, o)
			}
		}
	}
}

func newShares(size, keen int64, weights map[string]int) *shares {
	x := &shares{weights: weights}
	x.pools[slots] = pool{size: size, keen: keen}
	return x
}

func TestSharesOfGreedyTenants(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		weights map[string]int
		tenants map[string]int // subscriptions of each
		want    map[string][2]int64
		free    int64 // at least
	}{
		{"one alone has most", nil, map[string]int{"a": 1}, map[string][2]int64{"a": {5500, 6900}}, 1200},
		{"ten of one tenant", nil, map[string]int{"a": 10}, map[string][2]int64{"a": {6100, 6900}}, 1200},
		{"thousands of one tenant", nil, map[string]int{"a": 20000}, map[string][2]int64{"a": {6700, 6900}}, 1200},
		{"two tenants", nil, map[string]int{"a": 10, "b": 10}, map[string][2]int64{"a": {3200, 3900}, "b": {3200, 3900}}, 700},
		{"by weight", map[string]int{"b": 3}, map[string]int{"a": 10, "b": 10}, map[string][2]int64{"a": {1500, 2900}, "b": {4200, 5800}}, 500},
		{"many records do not make a tenant more", nil, map[string]int{"a": 5000, "b": 8}, map[string][2]int64{"a": {3000, 4800}, "b": {2300, 4000}}, 600},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := newShares(8192, 8, c.weights)
			var own []*ownShare
			for _, name := range sorted(c.tenants) {
				for range c.tenants[name] {
					own = append(own, x.join(name))
				}
			}
			greed(x, slots, own, 1)
			churn(x, slots, own, 100_000)
			for name, w := range c.want {
				if got := x.tenants[name].used[slots]; got < w[0] || got > w[1] {
					t.Errorf("%s has %d, want %d to %d", name, got, w[0], w[1])
				}
			}
			if free := x.pools[slots].size - x.pools[slots].used; free < c.free {
				t.Errorf("%d are free, want %d", free, c.free)
			}
			if late := x.join("late"); !x.may(late, slots) {
				t.Error("a newcomer gets none")
			}
		})
	}
}

// Tenants come one after the other, and all hang; the next gets something all the same.
func TestSharesOfTenantsThatHangOneAfterTheOther(t *testing.T) {
	t.Parallel()
	x := newShares(8192, 8, nil)
	for i := range 40 {
		o := x.join("t" + string(rune('A'+i)))
		greed(x, slots, []*ownShare{o}, 1)
		if o.used[slots] < 1 {
			t.Fatalf("tenant %d gets nothing", i)
		}
		if i == 10 && o.used[slots] < 8 {
			t.Errorf("the tenth gets %d", o.used[slots])
		}
	}
	y := newShares(8192, 8, nil)
	for i := range 40 { // and subscriptions that have no tenant
		o := y.join("")
		for o.used[slots] < 1000 && y.may(o, slots) {
			y.acquire(o, slots, 1)
		}
		if o.used[slots] < 1 {
			t.Fatalf("subscription %d gets nothing", i)
		}
	}
}

// Hundreds of subscriptions without a tenant hang; another one, and a tenant, begin all the same.
func TestSharesWithoutATenant(t *testing.T) {
	t.Parallel()
	x := newShares(8192, 8, nil)
	var own []*ownShare
	for range 600 {
		own = append(own, x.join(""))
	}
	greed(x, slots, own[:300], 1)
	greed(x, slots, own[300:], 1)
	late := x.join("")
	if !x.may(late, slots) {
		t.Fatal("a newcomer without a tenant gets none")
	}
	x.acquire(late, slots, 1)
	for range 5000 { // and there is an end to it
		if o := x.join(""); x.may(o, slots) {
			x.acquire(o, slots, 1)
		}
	}
	if free := x.pools[slots].size - x.pools[slots].used; free < 500 {
		t.Errorf("%d are free", free)
	}
	if other := x.join("a"); !x.may(other, slots) {
		t.Error("a tenant gets none")
	}
}

// Subscriptions of one tenant share what the tenant has.
func TestSharesWithinATenant(t *testing.T) {
	t.Parallel()
	x := newShares(8192, 8, nil)
	greedy := []*ownShare{x.join("a"), x.join("a"), x.join("a")}
	greed(x, slots, greedy, 1)
	if low, high := min(greedy[0].used[slots], greedy[1].used[slots], greedy[2].used[slots]), max(greedy[0].used[slots], greedy[1].used[slots], greedy[2].used[slots]); high-low > 50 {
		t.Errorf("equally greedy ones have %d to %d", low, high)
	}
	if late := x.join("a"); !x.may(late, slots) {
		t.Error("the fourth of the tenant gets none")
	}
}

// Whatever is taken, given back, joined, moved and left: the sums are right,
// nothing is taken beyond the pool by steps of one, and up to some dozens of
// greedy tenants a newcomer finds something free.
func TestSharesProperties(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := int64(100 + r.IntN(9000))
		x := newShares(size, int64(1+r.IntN(8)), map[string]int{"t1": 2})
		names := []string{"", "t1", "t2", "t3", "t4"}[:1+r.IntN(5)]
		var own []*ownShare
		for range 3000 {
			switch k := r.IntN(20); {
			case k == 0 || len(own) == 0:
				own = append(own, x.join(names[r.IntN(len(names))]))
			case k == 1:
				i := r.IntN(len(own))
				x.leave(own[i])
				own = append(own[:i], own[i+1:]...)
			case k == 2:
				x.move(own[r.IntN(len(own))], names[r.IntN(len(names))])
			case k < 6:
				if o := own[r.IntN(len(own))]; o.used[slots] > 0 {
					x.release(o, slots, 1+r.Int64N(o.used[slots]))
				}
			default:
				o := own[r.IntN(len(own))]
				for range r.IntN(200) {
					if x.may(o, slots) {
						x.acquire(o, slots, 1)
					}
				}
			}
			check(t, x, own, seed)
		}
	}
}

func check(t *testing.T, x *shares, own []*ownShare, seed uint64) {
	t.Helper()
	sum, tenants := int64(0), map[string]int64{}
	for _, o := range own {
		sum += o.used[slots]
		tenants[o.of.name] += o.used[slots]
	}
	p := x.pools[slots]
	if p.used != sum || p.used > p.size {
		t.Fatalf("seed %d: %d of %d are taken, the sum is %d", seed, p.used, p.size, sum)
	}
	for name, n := range tenants {
		if x.tenants[name] == nil || x.tenants[name].used[slots] != n {
			t.Fatalf("seed %d: tenant %q has %d, not what is counted", seed, name, n)
		}
	}
	if len(x.tenants) != len(tenants) {
		t.Fatalf("seed %d: %d tenants are remembered, there are %d", seed, len(x.tenants), len(tenants))
	}
}

// What an attempt costs by the shares: it stands in the way of each.
func BenchmarkShares(b *testing.B) {
	x := newShares(8192, 8, nil)
	x.pools[flight] = pool{size: 64 << 20, keen: 8}
	o := x.join("a")
	for b.Loop() {
		if x.may(o, slots) && x.may(o, flight) {
			x.acquire(o, slots, 1)
			x.acquire(o, flight, 700)
		}
		x.release(o, slots, 1)
		x.release(o, flight, 700)
	}
}
