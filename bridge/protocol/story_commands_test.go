package protocol

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/datadriven"
)

// storyCommand is one line of a script.
type storyCommand struct {
	name string
	args []datadriven.CmdArg
}

// option is the value of name=value; "" if it is not given.
func (c storyCommand) option(name string) string {
	for _, a := range c.args {
		if a.Key == name && len(a.Vals) > 0 {
			return strings.Join(a.Vals, ", ")
		}
	}
	return ""
}

// words are the arguments without a value.
func (c storyCommand) words() (list []string) {
	for _, a := range c.args {
		if len(a.Vals) == 0 {
			list = append(list, a.Key)
		}
	}
	return list
}

// word is the i-th of them, "" if there is none.
func (c storyCommand) word(i int) string {
	if w := c.words(); i < len(w) {
		return w[i]
	}
	return ""
}

// run runs a command. README.md in testdata explains them all.
func (s *story) run(c storyCommand) error {
	switch c.name {
	// what surrounds the machine
	case "publish", "event", "feed":
		return s.bring(c)
	case "lose":
		return s.lose(c)
	case "limits":
		for i, w := range c.words() {
			s.beyond[i], _, _ = numbers(w)
		}
	case "remake", "rollback":
		return s.changeStream(c)
	case "record", "deactivate", "activate", "pause", "resume", "delete", "purge", "vanish", "see", "census":
		return s.changeRecord(c)
	case "former":
		return s.former(c)
	case "shards":
		return s.reshard(c)
	case "bucket", "lease-entry":
		return s.meddle(c)
	case "time":
		d, err := time.ParseDuration(strings.TrimPrefix(c.word(0), "+"))
		s.pass(d)
		return err
	case "bounds":
		return s.bound(c)

	// the machine
	case "start":
		s.start()
	case "crash":
		s.crash()
	case "stop":
		s.step(Stop{})
	case "ended":
		return s.end(c)
	case "redrive", "adopt", "retry-now", "skip", "alerts":
		return s.command(c)
	case "rewind", "replay", "end-replay":
		return s.sendAgain(c)
	case "losing":
		s.step(StreamLoses{strings.Join(c.words(), " ")})
	case "feed-ended":
		s.step(FeedEnded{})

	// answers
	case "hold", "auto":
		for _, pattern := range c.words() {
			s.rules = append(s.rules, storyRule{pattern, c.name == "hold"})
		}
		s.answerOpen()
	case "confirm", "refuse", "unanswered", "deposed", "meddled", "late":
		return s.answer(c)

	// what is printed
	case "state":
		s.state()
	case "show", "hide":
		for _, what := range c.words() {
			s.shows[what] = c.name == "show"
		}
	case "ledger":
		s.entries(BucketOwed)
	case "statuses":
		s.entries(BucketStatus)
	case "lease":
		s.say("%s", s.entry(Encode(s.lease)))
	default:
		return errors.New("there is no such command")
	}
	return nil
}

// bring publishes events, and lets the feed bring them: publish only the first,
// feed only the second.
func (s *story) bring(c storyCommand) error {
	from, to, err := s.last()+1, s.last(), error(nil)
	if w := c.word(0); w != "" {
		if from, to, err = numbers(w); err != nil {
			return err
		}
	}
	if c.name != "feed" {
		if from <= s.last() {
			return fmt.Errorf("the stream ends at %d already", s.last())
		}
		typ := c.option("type")
		if typ == "" {
			typ = "Changed"
		}
		for seq := from; seq <= to; seq++ {
			s.publish(seq, c.word(1), typ)
		}
	}
	if c.name == "publish" {
		return nil
	}
	if s.machine == nil || !s.feeding {
		return errors.New("the feed is not open")
	}
	for ; s.next <= to && s.machine != nil; s.next++ {
		if ev := s.event(s.next); ev != nil {
			matches, version := s.machine.Directory.Match(ev, nil)
			s.step(&EventTaken{Event: ev, Matches: matches, Version: version, Tag: ev.Seq})
			s.settle()
		}
	}
	return nil
}

// lose removes messages from the stream.
func (s *story) lose(c storyCommand) error {
	from, to, err := numbers(c.word(0))
	for seq := from; seq <= min(to, s.last()) && err == nil; seq++ {
		s.stream[seq-1] = nil
	}
	return err
}

// changeStream makes another stream of it (R15).
func (s *story) changeStream(c storyCommand) error {
	if c.name == "remake" {
		s.stream, s.created, s.durable, s.next = nil, s.now, nil, 1
		return nil
	}
	last, _, err := numbers(c.word(0))
	if err == nil {
		s.stream = s.stream[:min(last, s.last())]
		s.next = min(s.next, last+1)
	}
	return err
}

// changeRecord is what is done to a record; the machine sees it at once, unless
// the script holds `records`.
func (s *story) changeRecord(c storyCommand) error {
	id := c.word(0)
	var seen *RecordSeen
	switch c.name {
	case "record":
		members := map[string]any{}
		for _, a := range c.args[1:] {
			if a.Key == "schedule" {
				waits := a.Vals
				if waits[0] == "none" {
					waits = []string{}
				}
				members["retry"] = map[string]any{a.Key: waits}
				continue
			}
			members[a.Key] = memberValue(a)
		}
		seen = s.put(id, members)
	case "deactivate":
		seen = s.put(id, map[string]any{"status": "deactivated"})
	case "activate", "resume":
		seen = s.put(id, map[string]any{"status": "active"})
	case "pause":
		seen = s.put(id, map[string]any{"status": "paused"})
	case "delete", "purge":
		seen = s.remove(id, c.name == "purge")
	case "vanish":
		s.forget(id)
		return nil
	case "see":
		s.showRecords()
		return nil
	case "census":
		s.step(RecordsListed{s.listing()})
		return nil
	}
	if s.watching && !s.holds("records") {
		s.see(seen)
	}
	return nil
}

// memberValue is the value of a record's member: a word, a number, or a list.
func memberValue(a datadriven.CmdArg) any {
	switch v := strings.Join(a.Vals, ","); {
	case a.Key == "eventTypes" || a.Key == "subjects":
		return a.Vals
	case v == "" || v == "true":
		return true
	default:
		if n, err := strconv.Atoi(v); err == nil {
			return n
		}
		return v
	}
}

// meddle is what somebody does to the bridge's own state (R16).
func (s *story) meddle(c storyCommand) error {
	if c.name == "lease-entry" {
		s.leaseRev++
		switch c.word(0) {
		case "deleted":
			s.lease = LeaseEntry{}
		case "restored": // from a backup, as it is
			s.made++
			s.leaseMade = 1000 + s.made
		case "won": // by another replica
			s.epoch++
			s.lease.Epoch, s.lease.Holder, s.lease.Term = s.epoch, "another", "another"
		case "former": // a copy of the holder's own, sent before, lands only now
		case "old": // as a build before R11 wrote it
			s.lease.FormerIDs = nil
		default:
			return errors.New("deleted, restored, won, former or old?")
		}
		return nil
	}
	if c.word(0) == "durable" {
		s.durable = nil
		return nil
	}
	b := BucketOwed
	if c.word(0) == "status" {
		b = BucketStatus
	}
	switch x := s.buckets[b]; c.word(1) {
	case "deleted":
		x.gone = true
	case "purged":
		x.values, x.fence, x.sealed = map[string][]byte{}, 0, false
	case "restored": // from a backup, as it is
		s.made++
		x.created = s.made
	case "full":
		x.full = true
	case "roomy":
		x.full = false
	case "remove":
		delete(x.values, c.word(2))
	default:
		return errors.New("deleted, purged, restored, full or roomy?")
	}
	return nil
}

func (s *story) bound(c storyCommand) error {
	for _, a := range c.args {
		n, err := strconv.Atoi(a.Vals[0])
		if err != nil {
			return err
		}
		switch a.Key {
		case "window":
			s.bounds.Window = n
		case "debts":
			s.bounds.Deliveries = n
		case "lane":
			s.bounds.Lane = n
		case "lanes":
			s.bounds.Lanes, s.bounds.LanesMost, s.bounds.HeldMost = n, n, n
		case "parked":
			s.bounds.Parked = n
		case "outstanding":
			s.bounds.Outstanding = n
		case "keep": // seconds
			s.bounds.Keep = time.Duration(n) * time.Second
		case "failures":
			s.bounds.Failures = n
		default:
			return fmt.Errorf("there is no bound %s", a.Key)
		}
	}
	return nil
}

// end tells how attempts ended.
func (s *story) end(c storyCommand) error {
	words := c.words()
	if len(words) < 2 {
		return errors.New("which attempt, and how?")
	}
	after, _ := time.ParseDuration(c.option("retry-after"))
	o, err := outcome(words[len(words)-1], after)
	for _, name := range words[:len(words)-1] {
		if err == nil {
			err = s.ended(name, o)
			s.settle()
		}
	}
	return err
}

func (s *story) command(c storyCommand) error {
	s.steering = false
	switch c.name {
	case "retry-now":
		s.steering = true
		s.step(&RetryNow{Command: 1, Subscriptions: c.words(), Named: c.option("found") == "", Order: c.option("order")})
		return nil
	case "alerts": // alerts s: one was taken; alerts s 503 waits: it was not
		s.step(AlertsHeard{Subscription: c.word(0), Trouble: AlertTrouble{Reason: c.word(1), Waits: c.word(2) == "waits"}})
		return nil
	case "skip":
		head, _, _ := numbers(c.option("sequence"))
		s.step(&SkipHead{Command: 1, Subscription: c.word(0), Order: c.word(1), Sequence: head, Reason: "skipped by op"})
		return nil
	case "adopt":
		a := Adoption{Time: s.wall()}
		if after := c.option("after"); after != "" {
			a.After, _, _ = numbers(after)
			a.Known = s.ref(a.After)
		}
		s.step(&Adopt{Command: 1, Adoption: a})
		return nil
	}
	n, _, err := numbers(c.word(0))
	if err != nil {
		return err
	}
	d, ok := s.letters[n]
	if !ok {
		return fmt.Errorf("there is no dead letter %d", n)
	}
	s.step(&Redrive{Command: 1, Letter: d, Sequence: n})
	return nil
}

// sendAgain sets a subscription back, or asks for an attempt of a replay.
func (s *story) sendAgain(c storyCommand) error {
	id := c.word(0)
	if c.name == "end-replay" {
		s.step(EndReplay{Subscription: id, Replay: "r"})
		return nil
	}
	seq, _, err := numbers(c.word(1))
	switch {
	case err != nil:
		return err
	case c.name == "rewind":
		s.step(Rewind{Command: 1, Subscription: id, From: seq})
		return nil
	}
	_, generation, _ := s.machine.Replayable(id)
	s.step(&ReplayAttempt{Command: seq, Replay: "r", Subscription: id, Generation: generation, Event: s.event(seq), Attempt: 1, NewID: c.word(2) == "new"})
	return nil
}
