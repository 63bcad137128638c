package protocol

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Dead letters are told by kind: of one subscription, for one reason. The first
// raises an alert and stands in the status; what follows is counted, shown and
// told again at a slowing pace, and it is told when it ends: no more for ten
// minutes, another record, or a filter that can be told again. So ten thousand
// events that a filter cannot judge are one alert with a count, and the
// subscription says so though it is active.

// How long until what was counted is shown, or told, once more; the last stays.
var (
	letterShown = []time.Duration{limits.LetterTick, 30 * time.Second, time.Minute, 10 * time.Minute}
	letterTold  = []time.Duration{time.Minute, 10 * time.Minute, time.Hour}
)

// pauses is a pace that slows down.
type pauses struct {
	step int
	due  time.Duration
}

func (p *pauses) next(now time.Duration, steps []time.Duration) {
	p.due = now + steps[min(p.step, len(steps)-1)]
	p.step++
}

// letterKind is what is known of the dead letters of one kind.
type letterKind struct {
	name        string
	reason      string // of the newest
	since       time.Time
	last        time.Duration
	count       uint64
	shown, told uint64 // of these, in the status and by an alert
	show, tell  pauses
	good        bool // the filter gave an answer since
	over        bool
}

func (k *letterKind) ofFilter() bool { return strings.HasPrefix(k.reason, "filter: ") }

// letters are the kinds of one subscription.
type letters struct {
	kinds   map[string]*letterKind
	ticking bool
}

// kindOf tells reasons apart that differ by more than numbers and quotations.
func kindOf(reason string, status int) string {
	if status > 0 {
		return fmt.Sprint("status ", status)
	}
	quoted := false
	kind := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted, unicode.IsDigit(r):
			return -1
		}
		return r
	}, reason)
	return kind[:min(len(kind), 120)]
}

// buried takes note of a dead letter and returns how many of its kind there are.
func (s *sub) buried(reason string, status int) uint64 {
	c := s.core
	now := c.now.Boot
	if s.letters == nil {
		s.letters = &letters{kinds: map[string]*letterKind{}}
	}
	name := kindOf(reason, status)
	k := s.letters.kinds[name]
	if k == nil && len(s.letters.kinds) >= limits.LetterKinds {
		name = "other"
		k = s.letters.kinds[name]
	}
	if k == nil {
		k = &letterKind{name: name}
		s.letters.kinds[name] = k
	}
	if k.over || k.count == 0 {
		k.over, k.shown, k.show = false, 0, pauses{}
	}
	if k.count == 0 {
		k.since = c.now.Wall
	}
	k.reason, k.last, k.good = reason, now, false
	k.count++
	if k.shown == 0 {
		s.showLetters(k)
	}
	if k.told == 0 {
		s.tellLetters(k, false)
	}
	if !s.letters.ticking {
		s.letters.ticking = true
		c.after(limits.LetterTick, timer{what: dueLetters, sub: s})
	}
	return k.count
}

func (s *sub) showLetters(k *letterKind) {
	k.shown = k.count
	k.show.next(s.core.now.Boot, letterShown)
	s.changed()
}

// tellLetters raises the alert.
func (s *sub) tellLetters(k *letterKind, over bool) {
	c := s.core
	text := k.text(k.count)
	if over {
		text = "no more: " + text
	}
	if k.told > 0 { // the first has a line of its own
		c.log(Warn, "dead letters", "subscription_id", s.id, "count", k.count, "since", k.since.UTC().Format(time.RFC3339), "over", over, "reason", k.reason)
	}
	k.told = k.count
	k.tell.next(c.now.Boot, letterTold)
	c.raiseAlert(Alert{Kind: AlertDeadLettered, Subscription: s.id, Generation: s.gen, Text: text, Count: k.count, Since: k.since, Over: over,
		Key: s.alertKey(AlertDeadLettered) + "." + k.name}, c.nextID())
}

func (s *sub) tickLetters() {
	c := s.core
	if s.letters == nil {
		return
	}
	now := c.now.Boot
	for _, name := range sorted(s.letters.kinds) {
		k := s.letters.kinds[name]
		quiet := now - k.last
		switch {
		case !k.over && (quiet >= limits.LetterEnd || k.ofFilter() && k.good && quiet >= limits.LetterFilterEnd):
			s.endLetters(k)
		case !k.over && k.count > k.shown && now >= k.show.due:
			s.showLetters(k)
		}
		switch {
		case k.count > k.told && now >= k.tell.due:
			s.tellLetters(k, k.over)
		case k.over && quiet >= limits.LetterKeep:
			delete(s.letters.kinds, name)
		}
	}
	if len(s.letters.kinds) == 0 {
		s.letters = nil
		return
	}
	c.after(limits.LetterTick, timer{what: dueLetters, sub: s})
}

// endLetters: it is over, and told unless it was told a moment ago.
func (s *sub) endLetters(k *letterKind) {
	k.over = true
	s.changed()
	if now := s.core.now.Boot; now >= k.tell.due || k.tell.step == 1 {
		s.tellLetters(k, true)
	}
}

// revised: another record may do better.
func (s *sub) revised() {
	if s.letters == nil {
		return
	}
	for _, name := range sorted(s.letters.kinds) {
		if k := s.letters.kinds[name]; !k.over {
			s.endLetters(k)
		}
	}
}

// filterTold takes note that the filter gave an answer.
func (s *sub) filterTold() {
	if s.letters == nil {
		return
	}
	for _, k := range s.letters.kinds {
		k.good = true
	}
}

// text is one line for people.
func (k *letterKind) text(count uint64) string {
	switch {
	case k.ofFilter() && count == 1:
		return "the filter cannot be told for 1 event, which became a dead letter: " + strings.TrimPrefix(k.reason, "filter: ")
	case k.ofFilter():
		return fmt.Sprintf("the filter cannot be told for %d events, which became dead letters: %s", count, strings.TrimPrefix(k.reason, "filter: "))
	case count == 1:
		return "1 event became a dead letter: " + k.reason
	default:
		return fmt.Sprintf("%d events became dead letters: %s", count, k.reason)
	}
}

// letterRemarks are what the status says of dead letters that go on.
func (s *sub) letterRemarks() (p record.Problems) {
	if s.letters == nil {
		return nil
	}
	for _, name := range sorted(s.letters.kinds) {
		k := s.letters.kinds[name]
		if k.over || k.shown == 0 {
			continue
		}
		x := record.Problem{Message: k.text(k.shown) + " (since " + k.since.UTC().Format(time.RFC3339) + ")", Warning: true}
		if k.ofFilter() {
			x.Field = "filter"
			if member, ok := strings.CutPrefix(k.reason, "filter: no such key: "); ok {
				x.Message += "; where a member may be missing, ask for it first: has(event." + member + ") && …"
			}
		}
		p = append(p, x)
	}
	return p
}

// letterReason is the shortest form, for a subscription that has no other reason.
func (s *sub) letterReason() string {
	if s.letters == nil {
		return ""
	}
	for _, name := range sorted(s.letters.kinds) {
		if k := s.letters.kinds[name]; !k.over && k.shown > 0 {
			return k.text(k.shown)
		}
	}
	return ""
}
