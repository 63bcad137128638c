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

	"orderbridge/bridge/record"
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
		return nil, errors.New(`it is not a JSON object; write at least {"targetURL":"https://…"}`)
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

// textAt is the text of a member, or of one within it ("auth.tokenURL"), else "".
func (o object) textAt(path string) string {
	parent, name, nested := strings.Cut(path, ".")
	if !nested {
		return o.text(path)
	}
	inner, _ := o.within(parent)
	return inner.text(name)
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
	public, err := record.RedactRecord(r.Value, record.Redaction{})
	if err != nil { // put by others; its status says what is wrong
		return out.bytes()
	}
	rec, _ := readObject(public) // it has just been written
	for _, secret := range record.SecretMembers() {
		parent, _, nested := strings.Cut(secret.Path, ".")
		if inner, ok := rec.within(parent); ok && nested {
			inner = slices.DeleteFunc(inner, func(m member) bool { return m.raw == redacted })
			if rec.set(parent, string(inner.bytes())); secret.Core && len(inner) == 0 {
				rec.remove(parent)
			}
		}
	}
	rec = slices.DeleteFunc(rec, func(m member) bool { return m.raw == redacted })
	if _, ok := rec.get("auth"); !ok {
		rec.set("auth", `{"type":"noauth"}`)
	}
	if _, ok := rec.get("status"); !ok {
		rec.set("status", `"active"`)
	}
	pauseShown(&rec)
	for _, name := range []string{"createdAt", "updatedAt"} {
		if rec.text(name) != "" {
			raw, _ := rec.get(name)
			out.set(name, raw)
		}
	}
	first := []string{"targetURL", "auth", "status", "paused"}
	for _, name := range first {
		if raw, ok := rec.get(name); ok {
			out.set(name, raw)
		}
	}
	rec.remove(append(first, "id", "createdAt", "updatedAt")...)
	return append(out, rec...).bytes()
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
	if given.text("status") == record.StatusPaused {
		return nil, badMember("status", `is active or deactivated here; for a pause, "paused":true or POST …/pause`)
	}
	pauseGiven(&given, old)
	if problems := keepSecrets(&given, old); problems.Err() != nil {
		return nil, badRecord(problems)
	}
	if status, ok := old.get("status"); ok {
		if _, given2 := given.get("status"); !given2 {
			given.set("status", status)
		}
	}
	out = append(out, given...)

	if err := a.confine(c, &out); err != nil {
		return nil, err
	}
	value := out.bytes()
	return value, a.admissible(c, d.id, value)
}

// confine gives a record the tenant of a caller that is confined to one.
func (a *API) confine(c *caller, o *object) error {
	tenant, confined := c.scope.Tenant()
	if !confined {
		return nil
	}
	if given, ok := o.get("tenant"); ok && given != quoteJSON(tenant) {
		return badMember("tenant", fmt.Sprintf("must be %q, the tenant of the token; leave it out", tenant))
	}
	o.set("tenant", quoteJSON(tenant))
	if _, ok := o.get("subjects"); !ok && o.text("source") != "alerts" { // those of other tenants are never heard
		var list []string
		for _, s := range a.subjectsOf(tenant) {
			list = append(list, quoteJSON(s))
		}
		o.set("subjects", "["+strings.Join(list, ",")+"]")
	}
	return nil
}

// admissible holds a complete record against the parser and the caller's scope.
func (a *API) admissible(c *caller, id string, value []byte) error {
	s, problems := a.o.Parse(id, value)
	if s == nil || problems.Err() != nil {
		return badRecord(problems)
	}
	return a.withinTenant(c, s)
}

// withinTenant holds a record's subjects against those of the caller's tenant.
func (a *API) withinTenant(c *caller, s *record.Subscription) error {
	if tenant, confined := c.scope.Tenant(); confined && !s.Alerts {
		own := a.subjectsOf(tenant)
		if beyond := s.Beyond(own); len(beyond) > 0 {
			return badMember("subjects",
				fmt.Sprintf("%q reaches beyond what tenant %s may hear; stay within %s", beyond[0], tenant,
					strings.Join(own, ", ")))
		}
	}
	return nil
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
func keepSecrets(given *object, old object) (problems record.Problems) {
	return takeSecrets(given, old, false)
}

// restoreSecrets fills in those only in whose place [redacted] stands.
func restoreSecrets(given *object, old object) (problems record.Problems) {
	return takeSecrets(given, old, true)
}

func takeSecrets(given *object, old object, named bool) (problems record.Problems) {
	for _, secret := range record.SecretMembers() {
		k := keeper{secret: secret, place: movedURL(secret, *given, old), named: named}
		parent, name, nested := strings.Cut(secret.Path, ".")
		switch {
		case secret.ByName:
			k.keepNamed(given, old)
		case !nested:
			k.keep(given, old, secret.Path)
		default:
			inner, ok := given.within(parent)
			if !ok && secret.Core { // left out, null or [redacted]: what is true of the secret is true of all of it
				k.secret.Path = parent
				k.keep(given, old, parent)
			}
			if !ok {
				break
			}
			before, _ := old.within(parent)
			if before.text("type") != inner.text("type") { // of another kind: none of its secrets is of use
				before = nil
			}
			k.keep(&inner, before, name)
			given.set(parent, string(inner.bytes()))
		}
		problems = append(problems, k.problems...)
	}
	return problems
}

// movedURL is the first of the URLs that a secret goes to which leads to another host than before; "" if none does.
func movedURL(secret record.SecretMember, given, old object) string {
	for _, at := range secret.GoesTo {
		if !sameOrigin(given.textAt(at), old.textAt(at)) {
			return at[strings.LastIndexByte(at, '.')+1:]
		}
	}
	return ""
}

// keeper keeps one secret of a record.
type keeper struct {
	secret   record.SecretMember
	place    string // the URL that leads elsewhere now; "": none does
	named    bool   // one that is left out is gone
	problems record.Problems
}

// keep sets a member of o, which may have been left out, to what it was before.
func (k *keeper) keep(o *object, old object, name string) {
	raw, ok := o.get(name)
	before, had := old.get(name)
	switch {
	case ok && raw == "null":
		o.remove(name)
	case ok && strings.HasPrefix(raw, "["):
		o.set(name, k.places(name, gjson.Parse(raw), gjson.Parse(before)))
	case ok && raw != redacted, !ok && k.named:
	case had && k.place == "":
		o.set(name, before)
	case had:
		k.fail(name, "is left out, and "+k.place+" leads to another host now: give it again, or null to remove it")
	case ok:
		k.fail(name, "is [redacted], and there is none to keep: give the value itself")
	}
}

// places keeps of a list of secrets those that are [redacted], each where it stands.
func (k *keeper) places(name string, given, old gjson.Result) string {
	var list []string
	before := old.Array()
	for i, item := range given.Array() {
		switch there := i < len(before); {
		case item.Raw != redacted:
		case there && k.place == "":
			item = before[i]
		case there:
			k.fail(name, fmt.Sprintf("[%d] is [redacted], and %s leads to another host now: give it again", i, k.place))
		default:
			k.fail(name, fmt.Sprintf("[%d] is [redacted], and there is none to keep: give the value itself", i))
		}
		list = append(list, item.Raw)
	}
	return "[" + strings.Join(list, ",") + "]"
}

func (k *keeper) fail(name, message string) {
	field := k.secret.Path
	if k.secret.ByName {
		field += "." + name
	}
	k.problems = append(k.problems, record.Problem{Field: field, Message: message})
}

// keepNamed keeps the secrets of an object (headers) whose names are given; one that is left out is gone.
func (k *keeper) keepNamed(given *object, old object) {
	inner, ok := given.within(k.secret.Path)
	if !ok {
		return
	}
	before, _ := old.within(k.secret.Path)
	for i, m := range before { // letter case does not count in names of headers
		before[i].name = textproto.CanonicalMIMEHeaderKey(m.name)
	}
	for i, m := range inner {
		if m.raw == redacted {
			one := object{{textproto.CanonicalMIMEHeaderKey(m.name), m.raw}}
			k.keep(&one, before, one[0].name)
			inner[i].raw = one[0].raw
		}
	}
	given.set(k.secret.Path, string(inner.bytes()))
}

func sameOrigin(a, b string) bool {
	return (&record.Subscription{TargetURL: a}).Origin() == (&record.Subscription{TargetURL: b}).Origin()
}
