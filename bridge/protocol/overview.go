package protocol

import (
	"fmt"
	"maps"
	"time"

	"orderbridge/bridge/event"
)

// Overview is what the machine says of itself.
type Overview struct {
	Leads   bool // the take-over is done
	Epoch   uint64
	Figures Figures
	Changes []StreamChange // of the source stream, that no operator has acknowledged
	Usage   []Usage
	Reasons []string // why it is not ready

	Oldest  event.Ref     // of the events that are owed; Seq 0: none is. Time 0: not known
	Taken   event.Ref     // the last event that the feed has brought
	States  map[State]int // subscriptions in each state, deleted ones among them
	Debtors []Debtor      // that owe most, or were asked for
	Notes   []string      // what operators should know all the same
}

// Overview is the machine at that boot time, owing what Owes has counted.
func (c *Machine) Overview(now time.Duration, o Owing) Overview {
	f := c.figures
	f.Alerts = maps.Clone(f.Alerts)
	f.Unsettled, f.Owed, f.Kept, f.Suspended, f.Subscriptions = o.events, o.deliveries, o.kept, o.suspended, o.subscriptions
	f.Running, f.Reading = c.running, len(c.readers)
	r := Overview{Leads: c.opened, Epoch: c.epoch, Figures: f, Changes: c.changes, Usage: c.usage(), Reasons: c.reasons(now),
		Oldest: o.oldest, Taken: event.Ref{Seq: c.taken, Time: c.takenAt}, States: c.inState(), Debtors: o.debtors}
	for _, x := range c.changes {
		r.Notes = append(r.Notes, x.String()+"; `orderbridge stream adopt` acknowledges it")
	}
	for _, u := range r.Usage {
		if note := u.note(); note != "" {
			r.Notes = append(r.Notes, note)
		}
	}
	return r
}

// reasons are why the leader is not ready.
func (c *Machine) reasons(now time.Duration) (list []string) {
	if !c.opened {
		list = append(list, c.takingOver())
	}
	if c.missing {
		list = append(list, "the bucket of the subscription records is missing: the last ones stay in force")
	}
	if c.opened && now-c.lastFlush >= c.Stale {
		list = append(list, "the lease cannot be renewed: no attempt is started")
	}
	for _, k := range c.keys {
		if k.bucket == BucketOwed && now-k.since > c.Stale {
			list = append(list, "the ledger takes no writes: nothing that depends on them is settled")
			break
		}
	}
	list = append(list, c.stateReasons()...)
	if n := len(c.unstored); n > 0 {
		list = append(list, fmt.Sprintf("dead letters cannot be stored: %d orders wait for it", n))
	}
	return list
}

// StreamReport is what is known of the source stream; an error while the take-over goes on.
func (c *Machine) StreamReport() (StreamReport, error) {
	if !c.opened {
		return StreamReport{}, errNotReady
	}
	st := c.stream
	return StreamReport{Name: st.Name, Created: st.Created, First: st.First, Last: st.Last, Leader: c.holder, Floor: c.prefix,
		Known: c.top.Seq, Position: c.position(), Changes: append([]StreamChange{}, c.changes...)}, nil
}
