package protocol

// AlertTrouble is why alerts do not come to a subscription that hears them.
type AlertTrouble struct {
	Reason string `json:"reason,omitempty"` // of the last attempt; "": it was a success
	Waits  bool   `json:"waits,omitempty"`  // the alert is tried again; else it was given up
}

// Alerts are delivered beside the machine. It only tells in the status what became
// of the last attempt.
func (c *Machine) alertsHeard(in AlertsHeard) {
	s := c.sub(in.Subscription)
	if s == nil || s.alerts == in.Trouble {
		return
	}
	s.alerts = in.Trouble
	s.changed()
}

// alertTrouble is what stands in the status entry, nil if there is nothing.
func (s *sub) alertTrouble() *AlertTrouble {
	if x := s.alerts; x.Reason != "" {
		return &x
	}
	return nil
}

// text is what a person is told.
func (x AlertTrouble) text() string {
	if x.Waits {
		return "an alert waits to be tried again: " + x.Reason
	}
	return "the last alert was given up: " + x.Reason
}
