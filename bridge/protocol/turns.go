package protocol

// turns are the subscriptions that wait for a slot: one tenant after the other,
// and of each tenant the one that has waited longest.
type turns struct {
	tenants []*tenantShare
}

// wait puts a subscription at the end of its tenant's line, once.
func (t *turns) wait(s *sub) {
	if s.waits {
		return
	}
	s.waits = true
	of := s.share().of
	of.waiting = append(of.waiting, s)
	t.join(of)
}

func (t *turns) join(of *tenantShare) {
	if !of.inTurn && len(of.waiting) > 0 {
		of.inTurn = true
		t.tenants = append(t.tenants, of)
	}
}

// next takes the subscription whose turn it is out of its line; nil: none waits.
func (t *turns) next() *sub {
	for len(t.tenants) > 0 {
		of := t.tenants[0]
		t.tenants[0] = nil
		t.tenants = t.tenants[1:]
		of.inTurn = false
		if len(of.waiting) == 0 {
			continue
		}
		s := of.waiting[0]
		of.waiting[0] = nil
		if of.waiting = of.waiting[1:]; len(of.waiting) == 0 {
			of.waiting = nil
		}
		t.join(of)
		s.waits = false
		return s
	}
	t.tenants = nil
	return nil
}
