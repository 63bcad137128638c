package audit

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Member is a member of a record that has changed. A secret shows only that it
// is there, and by standing here at all that it has changed.
type Member struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// changes tells the members in which two values of a record differ; one that is
// no JSON object has none. more is how many there are beyond the bound.
func changes(before, after []byte) (list []Member, more int) {
	old, now := flatten(before), flatten(after)
	for _, name := range slices.Sorted(names(old, now)) {
		o, n := old[name], now[name]
		if o.raw == n.raw {
			continue
		}
		if len(list) == limits.AuditMembers {
			more++
			continue
		}
		list = append(list,
			Member{Name: cut(name, 128), Before: cut(o.shown, limits.AuditValueBytes),
				After: cut(n.shown, limits.AuditValueBytes)})
	}
	return list, more
}

type value struct{ raw, shown string }

func names(maps ...map[string]value) func(func(string) bool) {
	return func(yield func(string) bool) {
		seen := map[string]bool{}
		for _, m := range maps {
			for name := range m {
				if seen[name] {
					continue
				}
				seen[name] = true
				if !yield(name) {
					return
				}
			}
		}
	}
}

// flatten gives the members of a record and of the objects in it, each as it
// stands and as it may be shown.
func flatten(rec []byte) map[string]value {
	shown, err := record.RedactRecord(rec, record.Redaction{References: true, URLs: true})
	if err != nil {
		return nil
	}
	out := map[string]value{}
	walk(gjson.ParseBytes(rec), gjson.ParseBytes(shown), "", out)
	return out
}

// walk goes through both side by side: redaction keeps members and their order.
func walk(raw, shown gjson.Result, prefix string, out map[string]value) {
	var values []gjson.Result
	shown.ForEach(func(_, v gjson.Result) bool {
		values = append(values, v)
		return true
	})
	i := 0
	raw.ForEach(func(k, r gjson.Result) bool {
		if i == len(values) {
			return false
		}
		name, s := prefix+k.String(), values[i]
		i++
		if prefix == "" && r.IsObject() && s.IsObject() {
			walk(r, s, name+".", out)
			return true
		}
		text := s.Raw
		if s.Type == gjson.String {
			text = s.Str
		}
		out[name] = value{r.Raw, text}
		return true
	})
}

// action names what became of a record.
func action(before, after protocol.Revision, known bool) string {
	switch {
	case after.Purged:
		return "purge"
	case after.Deleted:
		return "delete"
	case !known || before.Deleted:
		return "put"
	}
	was, is := gjson.GetBytes(before.Value, "status").String(), gjson.GetBytes(after.Value, "status").String()
	switch {
	case was == is:
	case is == record.StatusDeactivated:
		return "deactivate"
	case is == record.StatusPaused:
		return "pause"
	case was == record.StatusDeactivated:
		return "activate"
	case was == record.StatusPaused:
		return "resume"
	}
	return "change"
}

// summary is the entry in one line.
func summary(d Data) string {
	var b strings.Builder
	b.WriteString(d.Subscription)
	b.WriteString(": " + d.Action + " by " + d.Who.String())
	for i, m := range d.Members {
		if i == 8 {
			b.WriteString(", …")
			break
		}
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + m.Name)
	}
	return b.String()
}
