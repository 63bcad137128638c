package protocol

import (
	"errors"
	"slices"
	"strconv"

	"orderbridge/bridge/event"
)

// former tells one more former shard: it was closed with the lease as it stands,
// but with that floor, intervals and cursor; unapplied: it does not say which
// records are applied.
func (s *story) former(c storyCommand) error {
	e := s.lease
	e.Settled, e.Cursor = nil, nil
	if slices.Contains(c.words(), "unapplied") {
		e.Applied = nil
	}
	known := []event.Ref{}
	for _, a := range c.args {
		for _, text := range a.Vals {
			from, to, err := numbers(text)
			if err != nil && a.Key != "cursor" {
				return err
			}
			switch a.Key {
			case "floor":
				e.Floor, known = from, append(known, s.ref(from))
			case "settled":
				e.Settled, known = append(e.Settled, [2]uint64{from, to}), append(known, s.ref(to))
			case "top": // the highest message that it knew
				e.Top = s.ref(from)
			case "cursor":
				if e.Cursor == nil {
					e.Cursor = &Cursor{Seq: from}
				} else {
					e.Cursor.ID = text
				}
			default:
				return errors.New("floor, settled, top or cursor?")
			}
		}
	}
	e.Known = event.Refs(known...)
	e.Checkpoints = slices.DeleteFunc(slices.Clone(e.Checkpoints), func(x Checkpoint) bool { return x.Ref.Seq > e.Floor })
	s.formers = append(s.formers, Closed(e))
	return nil
}

// reshard makes the next layout, of so many shards: the first of them starts.
func (s *story) reshard(c storyCommand) error {
	n, err := strconv.Atoi(c.word(0))
	s.number, _ = strconv.Atoi(c.option("number"))
	s.layout = Layout{Generation: s.layout.Generation + 1, Shards: n, Former: len(s.formers)}
	s.lease, s.durable = LeaseEntry{}, nil
	for _, x := range s.buckets {
		x.fence = 0
	}
	return err
}

// see lets the machine see a revision, if the record is one of its shard.
func (s *story) see(r *RecordSeen) {
	if s.layout.Shard(s.number).Has(r.Revision.Key) {
		s.step(r)
	} else {
		s.step(RecordsPassed{Bucket: r.Revision.Bucket, Revision: r.Revision.Revision})
	}
}

// inherit is what a shard begins with whose lease is absent.
func (s *story) inherit(e LeaseEntry) (LeaseEntry, []LeaseEntry) {
	switch {
	case !s.layout.Regards(e):
		return e, nil
	case e.Absent():
		e = Inherit(s.formers)
	}
	return e, s.formers
}
