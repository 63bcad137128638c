package protocol

// former tells whether the deliveries of the event keep the ids of a former build.
func (c *Machine) former(seq uint64) bool { return c.formerIDs != nil && seq <= *c.formerIDs }

// formerTold: where a former build led before, it may have sent all events up to there.
func (c *Machine) formerTold(last uint64) {
	if c.stopping {
		return
	}
	c.formerIDs = &last
	c.log(Info, "deliveries of the events that a former build may have sent keep the ids of that build", "up_to", last)
	c.takeOverFrom(applyingAll)
}
