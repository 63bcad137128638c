package flight

import (
	"fmt"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// A term that began with what a stand-by had followed is stepped through again as
// any other: its events find the same subscriptions.
func TestTraceOfAFollowedTerm(t *testing.T) {
	t.Parallel()
	f := protocol.NewFollowed()
	now := time.Unix(1e9, 0).UTC()
	for n := range 5 {
		id := fmt.Sprint("s", n)
		rec, problems := record.Parse(id, fmt.Appendf(nil, `{"targetURL":"https://erp.example.com/hook","subjects":["orders.t%d.>"]}`, n), record.Policy{})
		f.See(&protocol.RecordSeen{Revision: protocol.Revision{Key: id, Revision: uint64(n) + 1, Bucket: 7, Time: now}, Record: rec, Problems: problems})
		f.Told(id, &protocol.Status{State: protocol.StateActive, Revision: uint64(n) + 1, Since: now, Generation: uint64(n) + 1, Bucket: 7, Active: true, Valid: true, Anchor: 1, AnchorTime: now})
	}
	d := &driven{NewRecorder(someStart, DefaultRoom), someStart.Machine(), protocol.Now{Wall: now}}
	queue := []protocol.Input{protocol.Start{}}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, out := range d.Step(d.m, d.now, queue[0]) {
			switch out := out.(type) {
			case protocol.LoadState:
				queue = append(queue, protocol.StateLoaded{Reply: out.Reply(nil), State: &protocol.Loaded{Followed: f}})
			case protocol.WatchRecords:
				queue = append(queue, protocol.RecordsCaughtUp{})
			default:
				if in := agreeable(out); in != nil {
					queue = append(queue, in)
				}
			}
		}
	}
	for range 20 {
		d.pass(20 * time.Millisecond)
	}
	d.take(1, 3)
	d.pass(20 * time.Millisecond)
	attempts := 0
	err := d.Trace(Build{}, now, "test").Replay(func(s Step) error {
		if s.Differs != "" {
			t.Errorf("step %d: %s", s.Number, s.Differs)
		}
		for _, out := range s.Outputs {
			if a, ok := out.(*protocol.StartAttempt); ok && a.Delivery.Subscription.ID == "s3" {
				attempts++
			}
		}
		return nil
	})
	if err != nil || attempts != 1 {
		t.Errorf("%d attempts, %v", attempts, err)
	}
}
