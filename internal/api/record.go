package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

// object is a JSON object as it stands: its members in their order, each value
// byte for byte.
type object []member

type member struct{ name, raw string }

func readObject(data []byte) (object, error) {
	if !json.Valid(data) {
		return nil, errors.New("it is not JSON")
	}
	doc := gjson.ParseBytes(data)
	if !doc.IsObject() {
		return nil, errors.New(`it is not a JSON object; the least is {"targetURL":"https://…"}`)
	}
	var o object
	doc.ForEach(func(k, v gjson.Result) bool {
		o = append(o, member{k.String(), v.Raw})
		return true
	})
	return o, nil
}

func (o object) get(name string) (raw string, ok bool) {
	i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
	if i < 0 {
		return "", false
	}
	return o[i].raw, true
}

// text is the value of a member that is a string, else "".
func (o object) text(name string) string {
	raw, _ := o.get(name)
	if v := gjson.Parse(raw); v.Type == gjson.String {
		return v.Str
	}
	return ""
}

// within is a member that is an object itself; false if it is not.
func (o object) within(name string) (object, bool) {
	raw, ok := o.get(name)
	if !ok {
		return nil, false
	}
	inner, err := readObject([]byte(raw))
	return inner, err == nil
}

func (o *object) set(name, raw string) {
	if i := slices.IndexFunc(*o, func(m member) bool { return m.name == name }); i >= 0 {
		(*o)[i].raw = raw
		return
	}
	*o = append(*o, member{name, raw})
}

func (o *object) remove(names ...string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return slices.Contains(names, m.name) })
}

func (o object) bytes() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quoteJSON(m.name))
		b.WriteByte(':')
		b.WriteString(m.raw)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func quoteJSON(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}

const redacted = `"[redacted]"`

// shown is a record as the API gives it: without its secrets, and with what
// clients of contract C expect to find.
func shown(r store.Record) json.RawMessage {
	out := object{{"id", quoteJSON(r.ID)}, {"createdAt", stamp(r.Time)}, {"updatedAt", stamp(r.Time)}}
	public, err := bridge.RedactRecord(r.Value, bridge.Redaction{})
	if err != nil { // put by others; its status says what is wrong
		return out.bytes()
	}
	record, _ := readObject(public) // it has just been written
	for _, name := range []string{"auth", "tls"} {
		if inner, ok := record.within(name); ok {
			inner = slices.DeleteFunc(inner, func(m member) bool { return m.raw == redacted })
			record.set(name, string(inner.bytes()))
		}
	}
	record = slices.DeleteFunc(record, func(m member) bool { return m.raw == redacted })
	if _, ok := record.get("auth"); !ok {
		record.set("auth", `{"type":"noauth"}`)
	}
	if _, ok := record.get("status"); !ok {
		record.set("status", `"active"`)
	}
	for _, name := range []string{"createdAt", "updatedAt"} {
		if record.text(name) != "" {
			raw, _ := record.get(name)
			out.set(name, raw)
		}
	}
	first := []string{"targetURL", "auth", "status"}
	for _, name := range first {
		if raw, ok := record.get(name); ok {
			out.set(name, raw)
		}
	}
	record.remove(append(first, "id", "createdAt", "updatedAt")...)
	return append(out, record...).bytes()
}

func stamp(t time.Time) string {
	return quoteJSON(t.UTC().Truncate(time.Second).Format(time.RFC3339))
}

// draft is a record on its way into the bucket.
type draft struct {
	id    string
	given object        // as the caller sent it
	now   *store.Record // what it replaces, nil if nothing
}

// record completes what was given by what the API adds and what the caller may
// not know, and holds it against the parser and the caller's scope.
func (a *API) record(c *caller, d draft) ([]byte, error) {
	var old object
	created := a.o.Now()
	if d.now != nil {
		old, _ = readObject(d.now.Value) // nothing can be kept of one that cannot be read
		created = d.now.Time
	}
	if id, ok := d.given.get("id"); ok && (d.now == nil || id != quoteJSON(d.id)) {
		if d.now == nil {
			return nil, badMember("id", "is given by the API; leave it out")
		}
		return nil, badMember("id", "is not the one in the path; make them equal or leave it out")
	}
	out := object{{"id", quoteJSON(d.id)}, {"createdAt", stamp(created)}, {"updatedAt", stamp(a.o.Now())}}
	if old.text("createdAt") != "" {
		raw, _ := old.get("createdAt")
		out.set("createdAt", raw)
	}
	given := slices.Clone(d.given)
	given.remove("id", "createdAt", "updatedAt")
	if problems := keepSecrets(&given, old); problems.Err() != nil {
		return nil, badRecord(problems)
	}
	if status, ok := old.get("status"); ok {
		if _, given2 := given.get("status"); !given2 {
			given.set("status", status)
		}
	}
	out = append(out, given...)

	tenant, confined := c.scope.Tenant()
	if confined {
		if given, ok := out.get("tenant"); ok && given != quoteJSON(tenant) {
			return nil, badMember("tenant", fmt.Sprintf("must be %q, the tenant of the token; leave it out", tenant))
		}
		out.set("tenant", quoteJSON(tenant))
		if _, ok := out.get("subjects"); !ok {
			var list []string
			for _, s := range a.subjectsOf(tenant) {
				list = append(list, quoteJSON(s))
			}
			out.set("subjects", "["+strings.Join(list, ",")+"]")
		}
	}
	value := out.bytes()
	s, problems := a.o.Parse(d.id, value)
	if s == nil || problems.Err() != nil {
		return nil, badRecord(problems)
	}
	if confined {
		own := a.subjectsOf(tenant)
		if beyond := s.Beyond(own); len(beyond) > 0 {
			return nil, badMember("subjects", fmt.Sprintf("%q reaches beyond what tenant %s may hear; stay within %s", beyond[0], tenant, strings.Join(own, ", ")))
		}
	}
	return value, nil
}

// subjectsOf are the subject filters of a tenant.
func (a *API) subjectsOf(tenant string) []string {
	var out []string
	for _, s := range a.o.TenantSubjects {
		out = append(out, strings.ReplaceAll(s, "{tenant}", tenant))
	}
	return out
}

// keepSecrets fills in the secrets that an update leaves out, since no answer
// ever shows them. They stay only as long as they go to the same place: else
// whoever may change a record could have its secrets sent elsewhere. null
// removes one.
func keepSecrets(given *object, old object) (problems bridge.Problems) {
	same := sameOrigin(given.text("targetURL"), old.text("targetURL"))
	keep := func(o *object, old object, prefix, name, place string, same bool) {
		raw, ok := o.get(name)
		before, had := old.get(name)
		switch {
		case ok && raw == "null":
			o.remove(name)
		case ok && raw != redacted:
		case had && same:
			o.set(name, before)
		case had:
			problems = append(problems, bridge.Problem{Field: prefix + name, Message: "is left out, and " + place + " leads to another host now: give it again, or null to remove it"})
		case ok:
			problems = append(problems, bridge.Problem{Field: prefix + name, Message: "is [redacted], and there is none to keep: give the value itself"})
		}
	}
	for _, name := range []string{"key", "secret", "signing"} {
		keep(given, old, "", name, "targetURL", same)
	}
	if auth, ok := given.within("auth"); ok {
		before, _ := old.within("auth")
		if before.text("type") != auth.text("type") {
			before = nil
		}
		keep(&auth, before, "auth.", "password", "targetURL", same)
		keep(&auth, before, "auth.", "token", "targetURL", same)
		place, sameAuth := "targetURL", same
		if !sameOrigin(auth.text("tokenURL"), before.text("tokenURL")) {
			place, sameAuth = "tokenURL", false
		}
		keep(&auth, before, "auth.", "clientSecret", place, sameAuth)
		given.set("auth", string(auth.bytes()))
	}
	if tls, ok := given.within("tls"); ok {
		before, _ := old.within("tls")
		keep(&tls, before, "tls.", "keyPassword", "targetURL", same)
		given.set("tls", string(tls.bytes()))
	}
	if headers, ok := given.within("headers"); ok {
		before, _ := old.within("headers")
		for i, m := range before { // letter case does not count in names of headers
			before[i].name = textproto.CanonicalMIMEHeaderKey(m.name)
		}
		for i, m := range headers {
			if m.raw == redacted {
				one := object{{textproto.CanonicalMIMEHeaderKey(m.name), m.raw}}
				keep(&one, before, "headers.", one[0].name, "targetURL", same)
				headers[i].raw = one[0].raw
			}
		}
		given.set("headers", string(headers.bytes()))
	}
	return problems
}

func sameOrigin(a, b string) bool {
	return (&bridge.Subscription{TargetURL: a}).Origin() == (&bridge.Subscription{TargetURL: b}).Origin()
}
