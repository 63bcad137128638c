package record

import (
	"bytes"
	"errors"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// KeepShown completes a record from a file by what the file does not tell, since records are shown without their
// secrets (Exported): where [redacted] stands for a secret, or a URL reads as the stored one is shown, what is stored
// under the id stays. A secret stays only as long as it goes to the same hosts, else it is a problem, as it is where
// nothing is stored that could stay. What a file leaves out is not kept, but for the status and createdAt.
func KeepShown(given, stored []byte) ([]byte, Problems) {
	doc, old := gjson.ParseBytes(given), gjson.ParseBytes(stored)
	if !gjson.ValidBytes(given) || !doc.IsObject() {
		return given, nil // what is wrong with it Parse says
	}
	if !gjson.ValidBytes(stored) {
		old = gjson.Result{}
	}
	k := shownKeeper{given: doc, stored: old}
	k.members(doc, old, recordObject)
	out := k.out.Bytes()
	for _, name := range []string{"status", "createdAt"} {
		if v := old.Get(name); v.Exists() && !doc.Get(name).Exists() {
			out = appendMember(out, name, v.Raw)
		}
	}
	return out, k.problems
}

func appendMember(object []byte, name, raw string) []byte {
	object = object[:len(object)-1]
	if len(object) > 1 {
		object = append(object, ',')
	}
	return append(append(object, quoteJSON(name)+":"+raw...), '}')
}

type shownKeeper struct {
	given, stored gjson.Result // the records
	out           bytes.Buffer
	problems      Problems
}

func (k *shownKeeper) fail(field, message string) {
	k.problems = append(k.problems, Problem{Field: field, Message: message})
}

func (k *shownKeeper) members(v, old gjson.Result, o *memberSet) {
	redactObject(&k.out, v, func(name string, v gjson.Result) { k.member(o.byName[name], v, old.Get(name)) })
}

func (k *shownKeeper) member(m *member, v, old gjson.Result) {
	switch {
	case m == nil:
		k.out.WriteString(v.Raw)
	case isMark(v) && m.visibility() != open:
		k.secret(m, m.path, v, old)
	case m.object != nil && v.IsObject():
		if old.Get("type").String() != v.Get("type").String() { // of another kind: none of its secrets is of use
			old = gjson.Result{}
		}
		k.members(v, old, m.object)
	case m.secrecy == secretsByName && v.IsObject():
		before := map[string]gjson.Result{}
		old.ForEach(func(name, v gjson.Result) bool {
			before[textproto.CanonicalMIMEHeaderKey(name.String())] = v
			return true
		})
		redactObject(&k.out, v, func(name string, v gjson.Result) {
			k.secret(m, m.path+"."+name, v, before[textproto.CanonicalMIMEHeaderKey(name)])
		})
	case m.secrecy == secretList && v.IsArray():
		k.list(m, v, old)
	default:
		k.text(m, v, old)
	}
}

// list keeps the secrets of an array: each mark stands for one of those that are stored as they are, in their order.
func (k *shownKeeper) list(m *member, v, old gjson.Result) {
	var hidden []gjson.Result
	for _, item := range old.Array() {
		if item.Type == gjson.String && !isShownReference(item.Str) {
			hidden = append(hidden, item)
		}
	}
	marks := 0
	for _, item := range v.Array() {
		if isMark(item) {
			marks++
		}
	}
	if marks > 0 && len(hidden) > 0 && marks != len(hidden) {
		k.fail(m.path, "holds [redacted] for some of the secrets that are stored in plain text, and which is not told; give them themselves, or as references")
		marks = 0
	}
	k.out.WriteByte('[')
	for i, item := range v.Array() {
		if i > 0 {
			k.out.WriteByte(',')
		}
		var before gjson.Result
		if isMark(item) && len(hidden) > 0 {
			before, hidden = hidden[0], hidden[1:]
		}
		if marks == 0 && isMark(item) && before.Exists() {
			k.out.WriteString(item.Raw) // it is a problem already
			continue
		}
		k.secret(m, m.path+"["+strconv.Itoa(i)+"]", item, before)
	}
	k.out.WriteByte(']')
}

// secret keeps a secret for which its mark stands.
func (k *shownKeeper) secret(m *member, field string, v, old gjson.Result) {
	if !isMark(v) {
		k.out.WriteString(v.Raw)
		return
	}
	moved := ""
	for _, at := range m.targets() {
		now, before := k.given.Get(at), k.stored.Get(at)
		if now.String() != ShownURL(before.String()) && !sameOrigin(now.String(), before.String()) {
			moved = at
		}
	}
	switch {
	case !old.Exists():
		k.fail(field, "is [redacted], and there is none to keep: give the value itself, or a reference")
	case moved != "":
		k.fail(field, "is [redacted], and "+moved+" leads to another host now: give the value itself, or a reference")
	default:
		k.out.WriteString(old.Raw)
		return
	}
	k.out.WriteString(v.Raw)
}

func sameOrigin(a, b string) bool {
	return (&Subscription{TargetURL: a}).Origin() == (&Subscription{TargetURL: b}).Origin()
}

// text keeps a text with a URL in it that reads as the stored one is shown.
func (k *shownKeeper) text(m *member, v, old gjson.Result) {
	if v.Type == gjson.String && strings.Contains(v.Str, "://") {
		if old.Type == gjson.String && v.Str == ShownURL(old.Str) {
			k.out.WriteString(old.Raw)
			return
		}
		hides := strings.Contains(v.Str, redacted) || strings.Contains(v.Str, "/"+hiddenPart)
		if hides && m.path != "description" {
			k.fail(m.path, "holds [redacted] or … for a part that is not shown, and is not the stored URL: write it out")
		}
	}
	k.out.WriteString(v.Raw)
}

func isMark(v gjson.Result) bool { return v.Type == gjson.String && v.Str == redacted }

// Exported is a record as it stands in a file: without what is secret (KeepShown reads it back), without its id and
// times, the members in the order in which they are declared, names within them sorted. So two revisions that differ
// in nothing are the same bytes. urls: URLs are written as they are, though their path and query may hold secrets. The
// error says that data is not a JSON object, and shows nothing of it.
func Exported(data []byte, urls bool) ([]byte, error) {
	public, err := RedactRecord(data, Redaction{References: true, URLs: !urls})
	if err != nil {
		return nil, err
	}
	doc := gjson.ParseBytes(public)
	if hasTwice(doc) {
		return nil, errors.New("the record names a member more than once")
	}
	var out bytes.Buffer
	arrange(&out, doc, recordObject)
	return out.Bytes(), nil
}

// arrange writes an object with its members in their order, and those that are not declared after them.
func arrange(out *bytes.Buffer, v gjson.Result, o *memberSet) {
	out.WriteByte('{')
	first := true
	for _, name := range memberNames(o, v) {
		if o == recordObject && isBookkeeping(name) {
			continue
		}
		if !first {
			out.WriteByte(',')
		}
		first = false
		out.WriteString(quoteJSON(name) + ":")
		value, m := valueOf(v, name), declaredIn(o, name)
		switch {
		case value.IsObject() && m != nil && m.object != nil:
			arrange(out, value, m.object)
		case value.IsObject():
			arrange(out, value, nil)
		default:
			out.WriteString(value.Raw)
		}
	}
	out.WriteByte('}')
}
