package protocol

import (
	"iter"
	"slices"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Followed is what a replica that does not lead knows of the subscriptions: their
// statuses, the kept revisions of their records, and the directory of who hears
// what. It is told of each as the buckets tell it, and is complete when all up to
// the successor's own fences was told (R9): then a machine takes it over, at a
// cost that depends on what is in trouble and not on what exists. It belongs to
// one goroutine at a time.
type Followed struct {
	directory *record.Directory
	calm      map[string]*resting // live and in force, as record and status say
	others    map[string]*followed
	seen      Applied // the newest revision that was told
	cold      bool    // the history of a record that has no status is not all here
}

// followed is what was told of a subscription that is not calm.
type followed struct {
	status *Status // nil: it has none
	kept   []*RecordSeen
	late   bool // lateStart, after the first of what is kept
	folded bool // what came before the first of them is not here
}

// NewFollowed knows nothing yet.
func NewFollowed() *Followed {
	return &Followed{directory: record.NewDirectory(), calm: map[string]*resting{}, others: map[string]*followed{}}
}

// Len tells how many subscriptions are known.
func (f *Followed) Len() int { return len(f.calm) + len(f.others) }

// Seen tells up to which revision it was told.
func (f *Followed) Seen() RecordsPassed {
	return RecordsPassed{Bucket: f.seen.Bucket, Revision: f.seen.Revision}
}

// Statuses are the ids of those that have a status.
func (f *Followed) Statuses() iter.Seq[string] {
	return func(yield func(string) bool) {
		for id := range f.calm {
			if !yield(id) {
				return
			}
		}
		for id, x := range f.others {
			if x.status != nil && !yield(id) {
				return
			}
		}
	}
}

// Told takes a status as it stands now; nil: it is gone.
func (f *Followed) Told(id string, st *Status) {
	x := f.open(id)
	x.status = st
	f.settle(id, x)
}

// See takes a revision. Those of a record come in the order of the bucket; one
// that was told before is passed over.
func (f *Followed) See(in *RecordSeen) {
	r := &in.Revision
	if r.Bucket != f.seen.Bucket {
		f.forgetRecords()
		f.seen = Applied{Bucket: r.Bucket}
	}
	f.seen.Revision = max(f.seen.Revision, r.Revision)
	if c := f.calm[r.Key]; c != nil && r.Revision <= c.applied && c.bucket == r.Bucket {
		return
	}
	x := f.open(r.Key)
	if n := len(x.kept); n > 0 && r.Revision <= x.kept[n-1].Revision.Revision {
		f.settle(r.Key, x)
		return
	}
	x.kept = append(x.kept, in)
	f.settle(r.Key, x)
}

// Match appends to dst the subscriptions in force that hear the event, as the
// directory of the leader does that is followed; in no order.
func (f *Followed) Match(ev *event.Event, dst []*record.Subscription) []*record.Subscription {
	dst, _ = f.directory.Match(ev, dst)
	for _, x := range f.others {
		if rec := x.inForce(); rec != nil && rec.MatchesEvent(ev) {
			dst = append(dst, rec)
		}
	}
	return dst
}

// inForce is the record that the status speaks of, if it is to be sent events.
func (x *followed) inForce() *record.Subscription {
	if st := x.status; st == nil || !st.Active || !st.Valid || st.DeletedAt != nil {
		return nil
	}
	for _, in := range slices.Backward(x.kept) {
		if in.Record != nil && in.Revision.Revision <= x.status.Revision {
			return in.Record
		}
	}
	return nil
}

// forgetRecords drops the revisions: another bucket has taken the place of theirs,
// or they are told again from the first.
func (f *Followed) forgetRecords() {
	for id := range f.calm {
		f.open(id)
	}
	for id, x := range f.others {
		x.kept, x.late, x.folded = nil, false, false
		f.dropEmpty(id, x)
	}
	f.seen, f.cold = Applied{}, false
}

// ForgetStatuses drops the statuses: they are told again from the first.
func (f *Followed) ForgetStatuses() {
	for id := range f.calm {
		f.open(id)
	}
	for id, x := range f.others {
		x.status = nil
		f.cold = f.cold || x.folded
		f.dropEmpty(id, x)
	}
}

// Listed drops the revisions of records that the bucket does not hold any more
// though nobody deleted them (R12, vanish.go).
func (f *Followed) Listed(l *Listing) {
	lost := func(r *Revision) bool { return l.lacks(r.Key, r.Bucket, r.Revision) }
	for id, c := range f.calm {
		if c.lacks(l) {
			f.open(id)
		}
	}
	for id, x := range f.others {
		if n := len(x.kept); n > 0 && !x.kept[n-1].Revision.Deleted && lost(&x.kept[n-1].Revision) {
			x.kept, x.folded = nil, false
			f.dropEmpty(id, x)
		}
	}
}

// Complete is false if a record whose status is gone must be read again, with all
// of its history (R16).
func (f *Followed) Complete() bool {
	if f.cold {
		return false
	}
	for _, x := range f.others {
		if x.folded && x.status == nil {
			return false
		}
	}
	return true
}

// open takes what is known of a subscription out of those that are calm.
func (f *Followed) open(id string) *followed {
	if x := f.others[id]; x != nil {
		return x
	}
	x := &followed{}
	f.others[id] = x
	if c := f.calm[id]; c != nil {
		delete(f.calm, id)
		f.directory.Remove(id)
		x.status, x.kept, x.late, x.folded = c.status(), []*RecordSeen{c.seen()}, c.lateStart, true
	}
	return x
}

// settle folds what is known, and puts it to those that are calm if it is.
func (f *Followed) settle(id string, x *followed) {
	x.fold()
	if c := x.calm(); c != nil {
		delete(f.others, id)
		f.calm[id] = c
		f.directory.Put(c.rec)
		return
	}
	f.dropEmpty(id, x)
}

func (f *Followed) dropEmpty(id string, x *followed) {
	if x.status == nil && len(x.kept) == 0 {
		delete(f.others, id)
	}
}

// fold drops the revisions before the last valid one that is applied: nobody asks
// for them any more, unless the status is lost.
func (x *followed) fold() {
	if x.status == nil || !x.status.Valid { // what could not be used may be by now: it is compared with the one before
		return
	}
	last := 0
	for i, in := range x.kept {
		if in.Record != nil && in.Revision.Revision <= x.status.Revision && in.Revision.Bucket == x.status.Bucket {
			last = i
		}
	}
	if last == 0 {
		return
	}
	x.late = x.lateAfter(last)
	x.kept, x.folded = slices.Clone(x.kept[last:]), true
}

// lateAfter is lateStart after that one of the kept revisions.
func (x *followed) lateAfter(last int) bool {
	s := sub{rec: noRecord}
	for i, in := range x.kept[:last+1] {
		switch {
		case in.Record == nil:
			continue
		case i == 0:
			s.lateStart = x.late
		case in.Revision.Revision > x.status.Generation:
			s.startsAt(in.Record)
		}
		s.rec = in.Record
	}
	return s.lateStart
}

// calm is what is known as that of a subscription at rest; nil: it is not.
func (x *followed) calm() *resting {
	st := x.status
	if st == nil || len(x.kept) != 1 {
		return nil
	}
	in := x.kept[0]
	r := &in.Revision
	switch {
	case in.Record == nil || in.Record.Inactive || r.Revision != st.Revision || r.Bucket != st.Bucket || r.Key != in.Record.ID:
		return nil
	case st.State != StateActive || st.Reason != "" || !st.Active || !st.Valid || st.Suspended || st.DeletedAt != nil:
		return nil
	case st.Anchor == 0 || st.Expired > 0 || st.Pace != nil || len(st.Known) > 1 || len(st.Errors) > 0:
		return nil
	case !restorable(st.AnchorTime) || !restorable(st.Since):
		return nil
	}
	c := &resting{rec: in.Record, gen: st.Generation, applied: st.Revision, bucket: st.Bucket, liveFrom: st.Anchor,
		anchorTime: stamp(st.AnchorTime), since: stamp(st.Since), fromLoad: true, lateStart: x.late}
	if len(st.Known) > 0 {
		c.known = st.Known[0]
	}
	if len(in.Problems) > 0 {
		c.problems = &in.Problems
	}
	if len(st.Warnings) > 0 || c.problems != nil || c.lateStart {
		if record.Problems(st.Warnings).Digest() != c.remarks().Digest() {
			return nil
		}
	}
	return c
}

// remarks are those of its record.
func (x *resting) remarks() record.Problems {
	s := sub{lateStart: x.lateStart}
	if x.problems != nil {
		s.problems = *x.problems
	}
	return s.remarks()
}

// status is what its entry says.
func (x *resting) status() *Status {
	st := &Status{State: StateActive, Revision: x.applied, Since: moment(x.since), Generation: x.gen, Bucket: x.bucket,
		Active: true, Valid: true, Anchor: x.liveFrom, AnchorTime: moment(x.anchorTime), Warnings: x.remarks()}
	if x.known.Known() {
		st.Known = append(st.Known, x.known)
	}
	return st
}

// seen is the revision that it holds. When that was put does not matter once it
// is applied.
func (x *resting) seen() *RecordSeen {
	in := &RecordSeen{Revision: Revision{Key: x.rec.ID, Revision: x.applied, Bucket: x.bucket, Time: time.Time{}}, Record: x.rec}
	if x.problems != nil {
		in.Problems = *x.problems
	}
	return in
}

// ---- at the take-over

// prepare makes loaded state of what was followed: of those that are calm only
// where the ledger holds something, or its anchor lies ahead and has to be judged
// (R15).
func (l *Loaded) prepare(position uint64) {
	f := l.Followed
	if f == nil {
		return
	}
	if f.directory == nil { // what was recorded of it has none
		f.directory = record.NewDirectory()
		for _, c := range f.calm {
			f.directory.Put(c.rec)
		}
	}
	for id := range l.Marks {
		f.openCalm(id)
	}
	for id := range l.Lanes {
		f.openCalm(id)
	}
	for id, c := range f.calm {
		if c.liveFrom > position+1 {
			f.openCalm(id)
		}
	}
	l.Status = map[string]Status{}
	for id, x := range f.others {
		if x.status != nil {
			l.Status[id] = *x.status
		}
	}
}

func (f *Followed) openCalm(id string) {
	if f.calm[id] != nil {
		f.open(id)
	}
}

// takeFollowed has the machine go on with what was followed. The statuses of
// those that are not calm are loaded already.
func (c *Machine) takeFollowed(f *Followed) {
	if f.directory == nil { // in a trace it is not told
		f.directory = record.NewDirectory()
		for _, x := range f.calm {
			f.directory.Put(x.rec)
		}
	}
	c.resting, c.Directory = f.calm, f.directory
	if f.seen.Bucket != 0 {
		c.seen = f.seen
	}
	c.followed, c.unseenYet = f, sorted(f.others)
	c.seeKept()
}

// seeKept goes on with what was seen of the records that are not calm, some at a
// time: there may be many, and the lease has to be renewed meanwhile.
func (c *Machine) seeKept() {
	const atOnce = 1000
	for _, id := range c.unseenYet[:min(atOnce, len(c.unseenYet))] {
		x := c.followed.others[id]
		for i, in := range x.kept {
			c.recordSeen(in)
			if s := c.subs[id]; i == 0 && x.folded && s != nil {
				s.lateStart = x.late
			}
		}
	}
	if c.unseenYet = c.unseenYet[min(atOnce, len(c.unseenYet)):]; len(c.unseenYet) > 0 {
		c.after(time.Millisecond, timer{what: dueKept})
		return
	}
	c.followed, c.unseenYet = nil, nil
	c.emit(WatchRecords{})
}
