package protocol

import (
	"slices"

	"orderbridge/bridge/event"
)

// claim is what one entry tells of the stream.
type claim struct {
	id, token string // token "": a mark, or the status
	status    bool
	highest   uint64 // number that it tells
	known     []event.Ref
	valid     uint64    // numbers up to here speak of the present stream
	ref       event.Ref // the message that proves it
}

// claims are those that may speak of another stream.
func (c *Machine) claims(l *Loaded) (list []*claim) {
	p := &c.placed
	doubtful := func(cl *claim) {
		cl.known = event.Refs(cl.known...)
		if (cl.highest > p.common || cl.status) && (p.Changed != "" || len(cl.known) > 0) {
			list = append(list, cl)
		}
	}
	for _, id := range sorted(l.Status) {
		if s := l.Status[id]; s.Anchor > p.At.Seq+1 {
			doubtful(&claim{id: id, status: true, highest: s.Anchor - 1, known: slices.Clone(s.Known)})
		}
	}
	for _, id := range sorted(l.Marks) {
		m := l.Marks[id]
		highest := max(m.From, m.Live, 1) - 1
		if n := len(m.Done); n > 0 {
			highest = max(highest, m.Done[n-1][1])
		}
		if m.Until != nil {
			highest = max(highest, *m.Until)
		}
		doubtful(&claim{id: id, highest: highest, known: slices.Clone(m.Known)})
	}
	for _, id := range sorted(l.Lanes) {
		for _, token := range sorted(l.Lanes[id]) {
			e := l.Lanes[id][token]
			if e.Redrive > 0 {
				continue // its event lies in the dead letter
			}
			highest := e.UpTo
			if n := len(e.Seqs); n > 0 {
				highest = max(highest, e.Seqs[n-1])
			}
			doubtful(&claim{id: id, token: token, highest: highest, known: slices.Clone(e.Known)})
		}
	}
	return list
}

// judgeClaims asks what of the loaded state speaks of the present stream.
func (c *Machine) judgeClaims() {
	c.moving = &moving{c: c, l: c.loading, claims: c.claims(c.loading), n: 1, lowest: map[string]uint64{}}
	if len(c.moving.claims) == 0 && c.placed.Changed == "" {
		c.relocated()
		return
	}
	entries := make([][]event.Ref, len(c.moving.claims))
	for i, cl := range c.moving.claims {
		entries[i] = cl.known
	}
	c.askStep(JudgeMessages{c.newRequest(), entries})
}

// claimsJudged finds what has to move.
func (c *Machine) claimsJudged(highest []int) {
	m := c.moving
	for i, cl := range m.claims {
		cl.valid, cl.ref = c.placed.common, c.placed.top
		if cl.status { // it may be of a stream before the one that the lease names
			cl.valid, cl.ref = c.placed.At.Seq, c.placed.At
		}
		if h := highest[i]; h >= 0 && cl.known[h].Seq >= cl.valid {
			cl.valid, cl.ref = cl.known[h].Seq, cl.known[h]
		}
	}
	m.claims = slices.DeleteFunc(m.claims, func(cl *claim) bool { return cl.highest <= cl.valid })
	c.step = relocating
	m.goOn()
}
