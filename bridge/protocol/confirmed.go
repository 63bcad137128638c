package protocol

// effect is what follows when a write to a state bucket is confirmed.
type effect struct {
	what    effectKind
	sub     *sub // whom it concerns: once that is dead, nothing follows; nil: the machine
	lane    *lane
	lanes   []*lane
	items   []*item
	mark    uint64
	command uint64
	filling *filling
	moving  *moving
}

type effectKind uint8

const (
	pumpsReader effectKind = iota
	paysMark               // R7: the debt of a {live} mark
	entersRead             // R6: debts pass to the mark
	isLive                 // R7: the mark {live} stands
	laneOpens              // R6: its entry is gone
	laneHolds              // R6: its entry tells these items
	activates              // R12
	endsChange             // R12: what a change has written is confirmed, its status comes next
	isApplied              // R12: a revision's status
	isForgotten            // of a record that never was valid
	isRestored             // R16
	goesOn                 // what no revision changes has been written
	isCollapsed            // R12: what the lanes of a deleted record held
	isHanded               // a rewind: likewise
	isRewound              // the mark that goes back stands
	isRedriven             // R14
	isAdopted              // R15
	isMoved                // R15
	isFilled               // R16
)

// confirmed carries an effect out. value is the one that was confirmed: that
// with which the effect came, or a newer one.
func (c *Machine) confirmed(e effect, value any) {
	s := e.sub
	if c.over || s != nil && s.mode == gone {
		return
	}
	switch e.what {
	case pumpsReader:
		s.pumpReader()
	case paysMark:
		c.payMark(s)
	case entersRead:
		if s.mode == going {
			s.enterReading()
		}
	case isLive:
		s.liveConfirmed(e.mark)
	case laneOpens:
		e.lane.entryGone(value)
	case laneHolds:
		e.lane.entryHolds(value, e.items)
	case activates:
		s.active = true
	case endsChange:
		s.finish()
	case isApplied:
		s.revisionApplied()
	case isForgotten:
		s.forgotten()
	case isRestored:
		s.restored()
	case goesOn:
		s.changeDone()
	case isCollapsed:
		s.collapsed(e.lanes)
	case isHanded:
		s.handed(e.lanes)
	case isRewound:
		s.rewound(nil)
	case isRedriven:
		c.redriven(e.lane, e.command)
	case isAdopted:
		c.adopting.confirmed(c)
	case isMoved:
		e.moving.confirmed()
	case isFilled:
		e.filling.confirmed()
	}
}
