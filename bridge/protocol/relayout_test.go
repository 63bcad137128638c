package protocol

import "testing"

func TestLayoutOfLeases(t *testing.T) {
	t.Parallel()
	two := Layout{Generation: 1, Shards: 2, Done: true}
	four := Layout{Generation: 2, Shards: 4, Former: 2}
	own := func(l Layout, closed bool) LeaseEntry {
		return LeaseEntry{Epoch: 1, Holder: "a", Layout: &l, Closed: closed, Free: closed}
	}
	for name, tt := range map[string]struct {
		leases map[Shard]LeaseEntry
		want   Layout
		told   bool
	}{
		"none":                  {nil, Layout{}, false},
		"absent":                {map[Shard]LeaseEntry{{}: {}}, Layout{}, false},
		"former build":          {map[Shard]LeaseEntry{{}: {Epoch: 3, Holder: "a"}}, Layout{Shards: 1, Done: true}, true},
		"nobody knows how many": {map[Shard]LeaseEntry{{Layout: 3}: {Epoch: 3, Holder: "a"}}, Layout{}, false},
		"the newest":            {map[Shard]LeaseEntry{{Layout: 1}: own(two, true), {Layout: 2, Number: 1}: own(four, false)}, four, true},
		"done": {map[Shard]LeaseEntry{{Layout: 2}: own(four, false),
			{Layout: 2, Number: 1}: own(Layout{Generation: 2, Shards: 4, Former: 2, Done: true}, false)},
			Layout{Generation: 2, Shards: 4, Former: 2, Done: true}, true},
		"a layout of which only a closed one tells": {map[Shard]LeaseEntry{{Layout: 1}: own(two, false), {Layout: 1, Number: 1}: own(four, true)},
			four, true},
	} {
		if got, told := LayoutOf(tt.leases); got != tt.want || told != tt.told {
			t.Errorf("%s: %+v, %t", name, got, told)
		}
	}
}
