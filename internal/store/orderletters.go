package store

import (
	"cmp"
	"context"
	"slices"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// letters looks for the order's dead letters: by the lanes in which it may be, and
// those that were put back and given up again, which lie under lanes of their own, by
// the subscriptions that gave up.
func (s *teller) letters(ctx context.Context) error {
	for _, a := range s.story.Attempts {
		s.lanesOf(a.Tenant)
	}
	c := s.catalog
	info, err := msgget.Info(ctx, c.js, c.names.DeadLetters)
	if err != nil {
		s.remark("the dead letters cannot be read: %v", err)
		return nil
	}
	if info.State.Msgs == 0 {
		return nil
	}
	o := owners{catalog: c, scope: s.scope}
	letter := func(m *event.Message) (Letter, bool, error) {
		l, own, err := c.letter(ctx, &o, m.Seq, m.Data)
		l.Event, l.Envelope = nil, nil
		return l, own && (l.Order == s.q.Order || s.seqs[l.DeadLetter.Sequence] != nil), err
	}
	list := &s.story.DeadLetters
	of := cmp.Or(s.q.Subscription, "*")
	for _, token := range s.lanes() {
		found, err := scan(ctx, c.js, c.names.DeadLetters, c.names.DeadLetterSubject+"."+of+"."+token, info.State.FirstSeq,
			info.State.LastSeq, limits.OrderDebts, letter)
		if err != nil {
			return err
		}
		*list = append(*list, found...)
	}
	for _, subscription := range s.gaveUpElsewhere() {
		_, err := c.newest(ctx, c.names.DeadLetters, c.names.DeadLetterSubject+"."+subscription+".>", 0, func(m *event.Message) (bool, error) {
			l, own, err := letter(m)
			if own {
				*list = append(*list, l)
			}
			return len(*list) <= limits.OrderDebts, err
		})
		if err != nil {
			return err
		}
	}
	slices.SortFunc(*list, func(a, b Letter) int { return cmp.Compare(b.Sequence, a.Sequence) })
	*list = slices.CompactFunc(*list, func(a, b Letter) bool { return a.Sequence == b.Sequence })
	if len(*list) > limits.OrderDebts {
		*list = (*list)[:limits.OrderDebts]
		s.remark("only the newest %d dead letters are shown", limits.OrderDebts)
	}
	return nil
}

// gaveUpElsewhere are the subscriptions that gave up an event of which no dead letter
// was found, those that did so last, and limits.OrderGaveUp at most.
func (s *teller) gaveUpElsewhere() []string {
	type delivery struct {
		subscription string
		sequence     uint64
	}
	found := map[delivery]bool{}
	for _, l := range s.story.DeadLetters {
		found[delivery{l.Subscription, l.DeadLetter.Sequence}] = true
	}
	var out []string
	for _, a := range s.story.Attempts {
		if a.Outcome == bridge.OutcomeDead && !found[delivery{a.Subscription, a.Sequence}] && !slices.Contains(out, a.Subscription) {
			out = append(out, a.Subscription)
		}
	}
	return out[:min(len(out), limits.OrderGaveUp)]
}
