package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// storyBus is the bus of a story: the stream, the records, the state of the
// bridge, the dead letters. It does what the real one does, at once, unless the
// script holds the answer.
type storyBus struct {
	now      time.Duration
	stream   []*event.Event   // by sequence, nil where there is none
	stamps   map[uint64]int64 // by sequence, of those that were removed as well
	created  time.Duration
	records  []RecordSeen
	revision uint64
	values   map[string]string // of the records, as they were put last
	buckets  [2]*storyBucket
	made     int64 // buckets
	letters  map[uint64]DeadLetter
	lettered uint64 // the last letter

	lease     LeaseEntry
	leaseRev  uint64
	leaseIDs  map[string]uint64
	leaseMade int64   // its bucket, as created of the others
	epoch     uint64  // that was won last
	durable   *uint64 // floor of the feed's consumer; nil: there is none
	next      uint64  // what the feed brings next
	feeding   bool
	watching  bool
	beyond    [4]uint64 // of Retention
	layout    Layout
	formers   []LeaseEntry // closed, of the layout before
	number    int          // of the shard that leads
}

type storyBucket struct {
	values  map[string][]byte
	ids     map[string]bool
	created int64
	fence   uint64 // epoch; 0: absent
	sealed  bool
	gone    bool
	full    bool // takes no new lane
}

var storyEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newStoryBus() *storyBus {
	b := &storyBus{leaseMade: 1, stamps: map[uint64]int64{}, values: map[string]string{}, letters: map[uint64]DeadLetter{}, leaseIDs: map[string]uint64{}}
	for i := range b.buckets {
		b.buckets[i] = b.bucket()
	}
	return b
}

func (b *storyBus) bucket() *storyBucket {
	b.made++
	return &storyBucket{values: map[string][]byte{}, ids: map[string]bool{}, created: b.made}
}

func (b *storyBus) wall() time.Time { return storyEpoch.Add(b.now) }

// fresh: nothing of the bridge is there.
func (b *storyBus) fresh() bool {
	return b.durable == nil && b.buckets[0].fence == 0 && b.buckets[1].fence == 0
}

// ---- the stream

func (b *storyBus) last() uint64 { return uint64(len(b.stream)) }

func (b *storyBus) publish(seq uint64, order, typ string) *event.Event {
	for b.last()+1 < seq {
		b.stream = append(b.stream, nil)
	}
	m := event.Message{Seq: seq, Subject: "orders." + order, Time: b.wall().Add(time.Duration(seq))}
	ev := &event.Event{Message: m,
		ID: event.EventID("ORDERS", seq, b.wall()), PublisherID: fmt.Sprint("p", seq), Type: typ, OrderID: order}
	b.stream = append(b.stream, ev)
	b.stamps[seq] = ev.Ref().Time
	return ev
}

func (b *storyBus) event(seq uint64) *event.Event {
	if seq == 0 || seq > b.last() {
		return nil
	}
	return b.stream[seq-1]
}

func (b *storyBus) ref(seq uint64) event.Ref {
	if ev := b.event(seq); ev != nil {
		return ev.Ref()
	}
	return event.Ref{Seq: seq}
}

func (b *storyBus) first() uint64 {
	for i, ev := range b.stream {
		if ev != nil {
			return uint64(i + 1)
		}
	}
	return b.last() + 1
}

func (b *storyBus) state() StreamState {
	return StreamState{Name: "ORDERS", Created: storyEpoch.Add(b.created), First: b.first(), Last: b.last(),
		FirstTime: b.ref(b.first()).Time, LastTime: b.stamps[b.last()], Settled: true}
}

func (b *storyBus) judge(r event.Ref) (Standing, error) {
	st := b.state()
	return st.Judge(r, func(seq uint64) (int64, error) {
		if ev := b.event(seq); ev != nil {
			return ev.Time.UnixNano(), nil
		}
		return 0, ErrNotFound
	})
}

func (b *storyBus) survey(e *LeaseEntry) Survey {
	s := Survey{Stream: b.state()}
	if b.durable != nil {
		s.Durable, s.DurableFloor = true, *b.durable
	}
	s.Top, _ = b.judge(e.Top)
	s.Floor, _ = b.judge(e.FloorRef())
	s.Highest, s.Other, _ = Highest(e.Refs(), b.judge)
	return s
}

func (b *storyBus) look(witnesses Witnesses, floor event.Ref) Look {
	l := Look{Stream: b.state()}
	l.Floor, _ = b.judge(floor)
	l.Known, l.Top, _ = witnesses.Testify(b.judge)
	return l
}

// at is the first sequence stamped at or after a time.
func (b *storyBus) at(t time.Time) uint64 {
	for i, ev := range b.stream {
		if ev != nil && !ev.Time.Before(t) {
			return uint64(i + 1)
		}
	}
	return b.last() + 1
}

func (b *storyBus) read(from uint64, subjects []string, most int) (events []*event.Event, got Reading) {
	got.Through = from - 1
	for seq := from; seq <= b.last() && len(events) < most; seq++ {
		got.Through = seq
		if ev := b.event(seq); ev != nil && (len(subjects) == 0 || record.SubjectMatches(subjects[0], ev.Subject)) {
			events = append(events, ev)
		}
	}
	got.Known = b.ref(got.Through)
	return events, got
}

// ---- the records

// put writes a record; its members as JSON, or those of the last time changed.
func (b *storyBus) put(id string, members map[string]any) *RecordSeen {
	value := map[string]any{}
	if old := b.values[id]; old != "" {
		mustUnmarshal([]byte(old), &value)
	} else {
		value["targetURL"] = "https://" + id + ".example.com/"
	}
	for name, v := range members {
		value[name] = v
	}
	text := Encode(value)
	b.values[id] = string(text)
	rec, problems := record.Parse(id, text, record.Policy{})
	return b.revise(RecordSeen{Revision: Revision{Key: id}, Record: rec, Problems: problems})
}

func (b *storyBus) revise(r RecordSeen) *RecordSeen {
	b.revision++
	r.Revision.Revision, r.Revision.Bucket, r.Revision.Time = b.revision, 1, b.wall()
	b.records = append(b.records, r)
	return &r
}

func (b *storyBus) remove(id string, purged bool) *RecordSeen {
	if purged {
		b.forget(id)
	}
	delete(b.values, id)
	return b.revise(RecordSeen{Revision: Revision{Key: id, Deleted: true, Purged: purged}})
}

// forget removes all revisions of a record, without a trace.
func (b *storyBus) forget(id string) {
	var rest []RecordSeen
	for _, r := range b.records {
		if r.Revision.Key != id {
			rest = append(rest, r)
		}
	}
	b.records = rest
}

func (b *storyBus) newest(id string) (r Revision, err error) {
	err = ErrNotFound
	for _, x := range b.records {
		if x.Revision.Key == id {
			r, err = x.Revision, nil
		}
	}
	return r, err
}

func (b *storyBus) listing() *Listing {
	l := &Listing{Bucket: 1, Through: b.revision, Newest: map[string]uint64{}}
	for _, r := range b.records {
		l.Newest[r.Revision.Key] = r.Revision.Revision
	}
	return l
}

// ---- the state of the bridge

func (b *storyBus) fence(bucket Bucket, epoch uint64) (Made, error) {
	x := b.buckets[bucket]
	if x.gone {
		x = b.bucket()
		b.buckets[bucket] = x
	}
	if x.fence > epoch {
		return Made{}, ErrDeposed
	}
	made := Made{Created: x.created, Unfenced: x.fence == 0, Sealed: x.sealed, Epoch: x.fence, Lease: b.leaseMade}
	x.fence = epoch
	return made, nil
}

// write does it if it may be done by the leader of that epoch.
func (b *storyBus) write(w *Write, epoch uint64) error {
	x := b.buckets[w.Bucket]
	switch {
	case x.gone || x.fence == 0:
		return ErrLost
	case x.ids[w.ID]:
		return nil
	case x.fence > epoch:
		return ErrDeposed
	case x.full && w.Value != nil && strings.Contains(w.Key, "."):
		return ErrRefused
	}
	x.ids[w.ID] = true
	if w.Value == nil {
		delete(x.values, w.Key)
	} else {
		x.values[w.Key] = w.Value
	}
	return nil
}

func (b *storyBus) writeLease(e *LeaseEntry, expect uint64, id string) (uint64, error) {
	if rev, ok := b.leaseIDs[id]; ok {
		return rev, nil
	}
	if expect != b.leaseRev {
		return 0, ErrDeposed
	}
	b.leaseRev++
	b.lease, b.leaseIDs[id] = *e, b.leaseRev
	b.lease.none = false
	return b.leaseRev, nil
}

func (b *storyBus) load() *Loaded {
	l := &Loaded{Status: map[string]Status{}, Marks: map[string]Mark{}, Lanes: map[string]map[string]LaneEntry{}}
	for key, value := range b.buckets[BucketStatus].values {
		var s Status
		mustUnmarshal(value, &s)
		l.Status[key] = s
	}
	for key, value := range b.buckets[BucketOwed].values {
		id, token, lane := strings.Cut(key, ".")
		if !lane {
			var m Mark
			mustUnmarshal(value, &m)
			l.Marks[id] = m
			continue
		}
		var e LaneEntry
		mustUnmarshal(value, &e)
		if l.Lanes[id] == nil {
			l.Lanes[id] = map[string]LaneEntry{}
		}
		l.Lanes[id][token] = e
	}
	return l
}

func mustUnmarshal(data []byte, v any) {
	if err := json.Unmarshal(data, v); err != nil {
		panic(err)
	}
}
