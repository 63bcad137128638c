package bridge

import (
	"slices"
	"testing"

	"orderbridge/bridge/protocol"
)

func TestWhatShardsSayIsToldOnce(t *testing.T) {
	t.Parallel()
	var s saidOf
	s.add(0, []string{"the bus has not answered yet", "taking over"})
	s.add(1, []string{"the bus has not answered yet"})
	s.add(2, []string{"the bus has not answered yet", "the ledger takes no writes", "taking over"})
	want := []string{"the bus has not answered yet", "shards 0, 2: taking over", "shard 2: the ledger takes no writes"}
	if got := s.lines(3); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestConditionOfSeveralShards(t *testing.T) {
	t.Parallel()
	var c Condition
	for k, x := range []Condition{
		{Role: RoleTakingOver, Epoch: 7},
		{Role: RoleStandby},
		{Role: RoleLeader, Epoch: 3, Figures: protocol.Figures{Delivered: 5, Owed: 2},
			Usage: []protocol.Usage{{Resource: "attempts", Used: 1, Size: 10, Tenant: "acme", Most: 1}}},
		{Role: RoleLeader, Epoch: 4, Figures: protocol.Figures{Delivered: 6, Owed: 3},
			Usage: []protocol.Usage{{Resource: "attempts", Used: 4, Size: 10, Tenant: "zeta", Most: 3}}},
	} {
		c.add(k, &x)
	}
	if c.Role != RoleLeader || c.Epoch != 7 || c.Figures.Delivered != 11 || c.Figures.Owed != 5 || len(c.Leads) != 3 {
		t.Errorf("%+v", c)
	}
	if want := (protocol.Usage{Resource: "attempts", Used: 5, Size: 20, Tenant: "zeta", Most: 3}); c.Usage[0] != want {
		t.Errorf("usage %+v", c.Usage)
	}
}
