package protocol

// formerTold: where a former build led before, it may have sent all events up to there.
func (c *Machine) formerTold(last uint64) {
	if c.stopping {
		return
	}
	c.formerIDs = &last
	c.log(Info, "deliveries of the events that a former build may have sent keep the ids of that build", "up_to", last)
	c.takeOverFrom(applyingAll)
}
