package protocol

// change is what a subscription is doing to its own state, one at a time: until
// it is confirmed no revision is applied and no attempt begins (R12).
type change struct {
	kind changeKind
	revision
}

type changeKind uint8

const (
	anchoring     changeKind = iota // the first valid revision (R13)
	updating                        // another valid one
	invalidating                    // one that cannot be used
	deactivating                    // by the record
	deleting                        // by a marker
	activating                      // after one of these
	forgetting                      // deleted before it ever was valid
	restoring                       // its status was lost (R16)
	confirmingOwn                   // no revision: a mark that must stand before the feed opens, or collapsed lanes
)

func (s *sub) busy() bool { return s.change != nil }

// begin begins a change.
func (s *sub) begin(kind changeKind, r revision) {
	s.change = &change{kind, r}
	s.core.applying++
}

func (s *sub) endApplying() {
	s.change = nil
	s.core.applying--
	s.core.applyMore()
}

// changeDone ends a change that is none of a revision.
func (s *sub) changeDone() {
	s.endApplying()
	s.core.applySoon(s)
	s.kick()
}

// changing tells whether a revision is being applied, or waits for it.
func (s *sub) changing() bool { return s.busy() || len(s.revs) > 0 || s.queued }
