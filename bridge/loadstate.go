package bridge

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"orderbridge/bridge/protocol"
)

// loadState reads both state buckets.
func loadState(ctx context.Context, ledger Ledger) (*protocol.Loaded, error) {
	l := &protocol.Loaded{Status: map[string]protocol.Status{}, Marks: map[string]protocol.Mark{},
		Lanes: map[string]map[string]protocol.LaneEntry{}}
	err := ledger.Load(ctx, protocol.BucketStatus, func(key string, value []byte) error {
		var s protocol.Status
		if json.Unmarshal(value, &s) != nil || s.Generation == 0 {
			l.Bad = append(l.Bad, "status "+key)
			return nil
		}
		l.Status[key] = s
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the status bucket: %w", err)
	}
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
		return nil, fmt.Errorf("read the owed bucket: %w", err)
	}
	return l, nil
}
