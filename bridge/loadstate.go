package bridge

import (
	"context"
	"fmt"
	"strings"

	"orderbridge/bridge/protocol"
)

// loadState takes what was followed of the statuses and records, and reads the
// ledger, both up to the own fences.
func (t *term) loadState(ctx context.Context) (*protocol.Loaded, error) {
	ledger, following := t.b.o.Ledger, t.b.crew.r.following
	created, last := ledger.Fenced(protocol.BucketStatus)
	f, bad, err := following.take(ctx, t, created, last)
	if err != nil {
		return nil, fmt.Errorf("read the status bucket: %w", err)
	}
	ledger.Holds(protocol.BucketStatus, f.Statuses())
	l := &protocol.Loaded{Marks: map[string]protocol.Mark{}, Lanes: map[string]map[string]protocol.LaneEntry{},
		Bad: bad, Followed: f}
	err = ledger.Load(ctx, protocol.BucketOwed, func(key string, value []byte) error {
		id, token, isLane := strings.Cut(key, ".")
		if isLane {
			e, err := protocol.ParseLaneEntry(value)
			if err != nil {
				l.Bad = append(l.Bad, "owed "+key+": "+err.Error())
				return nil
			}
			if l.Lanes[id] == nil {
				l.Lanes[id] = map[string]protocol.LaneEntry{}
			}
			l.Lanes[id][token] = e
			return nil
		}
		m, err := protocol.ParseMark(value)
		if err != nil {
			l.Bad = append(l.Bad, "owed "+key+": "+err.Error())
			return nil
		}
		l.Marks[key] = m
		return nil
	})
	if err != nil {
		following.giveBack(t)
		return nil, fmt.Errorf("read the owed bucket: %w", err)
	}
	return l, nil
}
