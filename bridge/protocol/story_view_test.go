package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// storyView is what a story prints, and what it leaves out unless it is asked to
// show it: what repeats every second, and members of entries that do not matter.
type storyView struct {
	lines []string
	shows map[string]bool // kinds of outputs, members of entries
}

var (
	seldomShown   = []string{"lease", "ack", "look", "check", "keep", "retention", "status", "deadline", "debug", "seal"}
	seldomMembers = []string{"generation", "known", "key", "order", "lastError", "since", "hears", "bucket", "anchorTime",
		"untilTime", "pace", "holder", "term", "beat", "length", "formerIDs", "stream", "top", "checkpoints", "buckets",
		"applied", "revision", "changes"}
)

func newStoryView() storyView {
	return storyView{shows: map[string]bool{}}
}

// tell says a line of a kind that may be left out.
func (s *story) tell(kind, format string, args ...any) {
	if kind == "" || slices.Contains(seldomShown, kind) && !s.shows[kind] {
		return
	}
	s.say(format, args...)
}

// log says what people are told.
func (s *story) log(out Log) {
	kind := [...]string{"debug", "info", "warn", "error"}[out.Level]
	text := out.Message
	for i := 0; i+1 < len(out.Args); i += 2 {
		text += fmt.Sprintf(", %v %v", out.Args[i], out.Args[i+1])
	}
	s.tell(kind, "%s: %s", kind, strings.ReplaceAll(text, "subscription_id ", ""))
}

// entry is an entry of the bus as people read it: its JSON without quotes around
// names, times as those of the story, messages as sequence@time.
func (s *story) entry(value []byte) string {
	if value == nil {
		return ""
	}
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	var b strings.Builder
	s.value(&b, d, "")
	return b.String()
}

func (s *story) value(b *strings.Builder, d *json.Decoder, member string) {
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	switch x := token.(type) {
	case json.Delim:
		if x == '{' {
			s.object(b, d)
			return
		}
		s.array(b, d, member)
	case string:
		if t, err := time.Parse(time.RFC3339Nano, x); err == nil {
			b.WriteString(storyTime(t))
			return
		}
		fmt.Fprintf(b, "%q", x)
	default:
		fmt.Fprint(b, x)
	}
}

func (s *story) object(b *strings.Builder, d *json.Decoder) {
	b.WriteByte('{')
	first := true
	for d.More() {
		name, err := d.Token()
		if err != nil {
			panic(err)
		}
		member := name.(string)
		var v strings.Builder
		s.value(&v, d, member)
		switch {
		case slices.Contains(seldomMembers, member) && !s.shows[member]:
			continue
		case slices.Contains([]string{"-", "<nil>", "{attempts:0}", `""`}, v.String()):
			continue
		}
		if !first {
			b.WriteByte(' ')
		}
		first = false
		b.WriteString(member + ":" + v.String())
	}
	_, _ = d.Token()
	b.WriteByte('}')
}

func (s *story) array(b *strings.Builder, d *json.Decoder, member string) {
	var list []string
	for d.More() {
		var v strings.Builder
		s.value(&v, d, member)
		list = append(list, v.String())
	}
	_, _ = d.Token()
	if len(list) == 2 && len(list[1]) == 19 { // a message: sequence and nanoseconds
		var nanos int64
		_, _ = fmt.Sscan(list[1], &nanos)
		fmt.Fprintf(b, "%s@%s", list[0], storyTime(time.Unix(0, nanos)))
		return
	}
	b.WriteString("[" + strings.Join(list, " ") + "]")
}

func storyTime(t time.Time) string {
	if t.IsZero() || t.Year() < 2000 {
		return "-"
	}
	return since(t.Sub(storyEpoch))
}

// ---- the machine's state

var modeNames = [...]string{unseen: "unseen", joining: "joining", live: "live", going: "going to reading", reading: "reading"}

func (s *story) state() {
	m := s.machine
	if m == nil {
		s.say("nobody leads")
		return
	}
	var window []string
	for _, w := range m.win {
		switch {
		case w.settled:
			window = append(window, fmt.Sprintf("%d settled", w.seq()))
		case !w.expanded:
			window = append(window, fmt.Sprintf("%d expanded in part", w.seq()))
		default:
			window = append(window, fmt.Sprintf("%d owes %d", w.seq(), w.debts))
		}
	}
	line := fmt.Sprintf("taken %d, settled prefix %d", m.taken, m.prefix)
	if len(window) > 0 {
		line += "; window: " + strings.Join(window, ", ")
	}
	s.say("%s", line)
	for _, id := range sortedList(slices.Concat(sorted(m.subs), sorted(m.resting))) {
		s.stateOf(m.peek(id))
	}
	if keys := sorted(m.keys); len(keys) > 0 {
		s.say("not confirmed: %s", strings.Join(keys, " "))
	}
}

func (s *story) stateOf(x *sub) {
	line := x.id + " " + modeNames[x.mode]
	if r := x.reader; r != nil {
		if x.mode == live {
			line += ", with leftovers"
		}
		line += fmt.Sprintf(" from %d, read up to %d", r.from, r.at)
		if len(r.done.spans) > 0 {
			line += fmt.Sprintf(", done %v", r.done.list())
		}
		if r.until != noLimit {
			line += fmt.Sprintf(", until %d", r.until)
		}
		line += " (" + r.reason + ")"
	} else if x.liveFrom > 0 {
		line += fmt.Sprintf(" from %d", x.liveFrom)
	}
	for _, more := range []struct {
		word string
		on   bool
	}{{"inactive", !x.active}, {"paused", x.paused}, {"invalid", !x.valid}, {"deleted", !x.deletedAt.IsZero()}, {"not in the bucket", x.absent},
		{"breaker open", x.failing()}, {"410", x.suspended}, {"applying a revision", x.busy()}} {
		if more.on {
			line += ", " + more.word
		}
	}
	for _, token := range sorted(x.lanes) {
		line += "; " + laneState(x.lanes[token])
	}
	s.say("%s", line)
}

func laneState(ln *lane) string {
	kind := "open"
	if ln.held {
		kind = "held"
	}
	text := fmt.Sprintf("lane %s %s", ln.token, kind)
	for _, it := range ln.q {
		text += fmt.Sprint(" ", it.seq)
		if ln.run != nil && ln.run.item == it {
			text += "*"
		}
	}
	if ln.attempts > 0 {
		text += fmt.Sprintf(" (failed %d times, next at %s)", ln.attempts, since(ln.next))
	}
	return text
}

// entries says what the ledger holds.
func (s *story) entries(bucket Bucket) {
	x := s.buckets[bucket]
	for _, key := range sorted(x.values) {
		s.say("%s/%s %s", bucketName(bucket), key, s.entry(x.values[key]))
	}
	if len(x.values) == 0 {
		s.say("%s is empty", bucketName(bucket))
	}
}
