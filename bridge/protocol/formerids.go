package protocol

// former tells whether the deliveries of the event keep the ids of a former build.
func (c *Machine) former(seq uint64) bool { return c.formerIDs != nil && seq <= *c.formerIDs }
