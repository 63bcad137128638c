package event

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"
)

// DefaultSubjectLayout is the layout of the subjects that we recommend.
const DefaultSubjectLayout = "orders.{tenant}.{eventType}.{orderId}"

// Where a Decoder looks in a payload when it is not told otherwise. The first
// path that leads to a string that is not empty, or to a number, wins.
var (
	DefaultOrderIDPaths       = []string{"orderId", "order.id"}
	DefaultLegacyOrderIDPaths = []string{"legacyOrderId"}
	DefaultTypePaths          = []string{"eventType", "eventName", "type"}
	DefaultTenantPaths        = []string{"tenant"}
)

// Decoder makes an Event of a Message. It never fails: what an event does not
// tell stays empty. The first value found wins:
//
//	ID             <stream>-<sequence>-<time of the message, Unix nanoseconds>
//	PublisherID    header Nats-Msg-Id; header ce-id; `id` of a structured CloudEvent
//	Type           header ce-type; `type` of a structured CloudEvent; TypePaths; subject
//	OrderID        header ce-orderid; `orderid` of a structured CloudEvent; OrderIDPaths;
//	               `uuid`, then `id`, of an order summary; subject
//	LegacyOrderID  header ce-legacyorderid; `legacyorderid` of a structured CloudEvent;
//	               LegacyOrderIDPaths
//	Tenant         subject; only where no layout names it: header ce-tenant; `tenant` of a
//	               structured CloudEvent; TenantPaths (tenant.go)
//
// The subject speaks last on the rest, and only if it has as many tokens as the
// layout and the same literal ones.
//
// A structured CloudEvent is a JSON object with a content type of
// application/cloudevents+json or a member `specversion`; the paths are looked
// for in its `data` (or data_base64), and then beside it. The payload may begin
// with a byte order mark and be compressed (body.go). An order summary is an object with
// `orderType`, `state` and `stateStarted` (contract A10). Of a member that comes
// twice the last one counts, of a repeated header the first. The values of ce-
// headers are percent-decoded, as the CloudEvents bindings have it (CloudEventValue). Numbers are
// ids by their literal text. A PublisherID that is longer than 512 bytes, or holds
// control characters or bytes that are not UTF-8, is replaced by sha256- and its
// hash. Of the rest, what is longer than 512 bytes counts as not told (bounds.go).
//
// A Decoder must not be changed after its first use; it may then be used by
// many goroutines.
type Decoder struct {
	Stream  string    // name of the source stream
	Created time.Time // when the source stream was created: part of the ids of former builds

	// Dotted paths into the payload; nil means the defaults, an empty list none.
	OrderIDPaths, LegacyOrderIDPaths, TypePaths, TenantPaths []string

	// SubjectLayout names the tokens of a subject: {tenant}, {eventType},
	// {orderId}, {legacyOrderId}, * for any, all else literal. "" means
	// DefaultSubjectLayout, "-" none.
	SubjectLayout string

	// TenantSubjects are further forms of subjects that tell the tenant, as in
	// shop.{tenant}.>.
	TenantSubjects []string

	once    sync.Once
	paths   *pathNode
	layout  []string
	tenants []tenantRule
	former  string
}

// field is one of the things that a payload or a subject tells.
type field int

const (
	fieldOrderID field = iota
	fieldLegacyOrderID
	fieldType
	fieldTenant
	fields // how many there are
)

var layoutFields = map[string]field{
	"{orderId}": fieldOrderID, "{legacyOrderId}": fieldLegacyOrderID,
	"{eventType}": fieldType, "{tenant}": fieldTenant,
}

// CheckSubjectLayout says what is wrong with a Decoder's SubjectLayout.
func CheckSubjectLayout(layout string) error {
	if layout == "" || layout == "-" {
		return nil
	}
	seen := map[string]bool{}
	for token := range strings.SplitSeq(layout, ".") {
		_, known := layoutFields[token]
		switch {
		case token == "":
			return fmt.Errorf("%q has an empty token", layout)
		case known && seen[token]:
			return fmt.Errorf("%q names %s twice", layout, token)
		case !known && strings.ContainsAny(token, "{}> "):
			return fmt.Errorf("%q: %q is none of {tenant}, {eventType}, {orderId}, {legacyOrderId}, * or a literal token", layout, token)
		}
		seen[token] = true
	}
	return nil
}

// pathNode is the tree of all paths: the payload is walked once.
type pathNode struct {
	name     string
	children []*pathNode
	targets  []target
}

type target struct {
	field field
	rank  int
}

func (n *pathNode) child(name string) *pathNode {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// lead is where a member of that name leads: a name that holds dots goes as many
// steps, so that the path order.id finds {"order.id": …} as well.
func (n *pathNode) lead(name string) *pathNode {
	if c := n.child(name); c != nil || strings.IndexByte(name, '.') < 0 {
		return c
	}
	for step := range strings.SplitSeq(name, ".") {
		if n = n.child(step); n == nil {
			return nil
		}
	}
	return n
}

func (n *pathNode) add(paths, defaults []string, f field) {
	if paths == nil {
		paths = defaults
	}
	for rank, path := range paths {
		at := n
		for name := range strings.SplitSeq(path, ".") {
			next := at.child(name)
			if next == nil {
				next = &pathNode{name: name}
				at.children = append(at.children, next)
			}
			at = next
		}
		at.targets = append(at.targets, target{f, rank + 1})
	}
}

func (d *Decoder) init() {
	d.paths = &pathNode{}
	d.paths.add(d.OrderIDPaths, DefaultOrderIDPaths, fieldOrderID)
	d.paths.add(d.LegacyOrderIDPaths, DefaultLegacyOrderIDPaths, fieldLegacyOrderID)
	d.paths.add(d.TypePaths, DefaultTypePaths, fieldType)
	d.paths.add(d.TenantPaths, DefaultTenantPaths, fieldTenant)
	d.former = fmt.Sprintf("%s-%d-", d.Stream, d.Created.Unix())
	d.tenants = d.tenantRules()
	switch d.SubjectLayout {
	case "":
		d.layout = strings.Split(DefaultSubjectLayout, ".")
	case "-":
	default:
		d.layout = strings.Split(d.SubjectLayout, ".")
	}
}

// Decode reads the event. The result shares the message's header and data.
func (d *Decoder) Decode(m *Message) *Event {
	d.once.Do(d.init)
	e := &Event{Message: *m}
	e.Not = m.notEvent()
	bodyID, body := d.readPayload(m)
	subject := d.readSubject(m.Subject)

	e.ID, e.former = EventID(d.Stream, m.Seq, m.Time), d.former
	e.PublisherID = publisherID(first(exactHeader(m.Header, "Nats-Msg-Id"), ceHeader(m.Header, "ce-id"), bodyID))
	e.Type = e.bound(fieldType, first(ceHeader(m.Header, "ce-type"), body[fieldType], subject[fieldType]))
	e.bySubject = len(d.tenants) > 0
	if e.bySubject {
		e.Tenant = e.bound(fieldTenant, strings.Clone(d.subjectTenant(m.Subject)))
	} else {
		e.Tenant = e.bound(fieldTenant, first(ceHeader(m.Header, "ce-tenant"), body[fieldTenant]))
	}
	e.boundOrder(first(ceHeader(m.Header, "ce-orderid"), body[fieldOrderID], subject[fieldOrderID]),
		first(ceHeader(m.Header, "ce-legacyorderid"), body[fieldLegacyOrderID], subject[fieldLegacyOrderID]))
	return e
}

// first returns a copy of the first value that is not empty: what was read
// must not keep the body in memory for longer than the event does.
func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return strings.Clone(v)
		}
	}
	return ""
}

// told holds what a part of the message tells, by field; "" for nothing.
type told [fields]string

func (d *Decoder) readSubject(subject string) told {
	var t told
	if strings.Count(subject, ".")+1 != len(d.layout) {
		return t
	}
	rest := subject
	for _, want := range d.layout {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		if f, ok := layoutFields[want]; ok {
			t[f] = token
		} else if want != "*" && want != token {
			return told{}
		}
	}
	return t
}

func (d *Decoder) readPayload(m *Message) (id string, t told) {
	body, err := m.Body()
	if err != nil || !beginsObject(body) || !ValidJSON(body) {
		return "", t
	}
	top := d.readObject(gjson.Parse(uncopied(body)))
	if !top.cloudEvent && !isCloudEventType(anyCaseHeader(m.Header, "content-type")) {
		return "", top.values
	}
	if !top.data.Exists() && top.base64 != "" {
		if data := decodeBase64(top.base64); beginsObject(data) && ValidJSON(data) {
			top.data = gjson.Parse(uncopied(data))
		}
	}
	inner := d.readObject(top.data)
	for f := range fields {
		t[f] = firstOf(top.attributes[f], inner.values[f], top.values[f])
	}
	return top.id, t
}

// uncopied is a text that shares its bytes with data, which nobody changes: what is
// kept of it is copied (first).
func uncopied(data []byte) string {
	return unsafe.String(unsafe.SliceData(data), len(data)) //nolint:gosec // the whole slice
}

func firstOf(a, b, c string) string {
	if a != "" {
		return a
	}
	if b != "" {
		return b
	}
	return c
}

// ValidJSON is quick for the usual event; a large one goes to the standard
// library, whose checker does not recurse.
func ValidJSON(data []byte) bool {
	if len(data) > 8<<10 {
		return json.Valid(data)
	}
	return gjson.ValidBytes(data)
}

func beginsObject(data []byte) bool {
	for _, c := range data {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			return c == '{'
		}
	}
	return false
}

func isCloudEventType(contentType string) bool {
	const want = "application/cloudevents+json"
	mediaType, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), want)
}

// object is what was read from one JSON object.
type object struct {
	values     told        // by the paths, or as an order summary
	ranks      [fields]int // of the path that told the value, from 1
	attributes told        // as a structured CloudEvent
	id, uuid   string
	base64     string       // data of a structured CloudEvent that is not JSON, or not told so
	data       gjson.Result // as a structured CloudEvent
	cloudEvent bool         // has specversion
	summary    [3]bool      // which of the members that only an order summary has
}

// readObject reads a JSON object in one pass; anything else tells nothing.
func (d *Decoder) readObject(v gjson.Result) object {
	var o object
	if !v.IsObject() {
		return o
	}
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "id":
			o.id = idText(v)
		case "uuid":
			o.uuid = idText(v)
		case "specversion":
			o.cloudEvent = v.Type == gjson.String
		case "data":
			o.data = v
		case "data_base64":
			o.base64 = v.Str
		case "type":
			o.attributes[fieldType] = idText(v)
		case "orderid":
			o.attributes[fieldOrderID] = idText(v)
		case "legacyorderid":
			o.attributes[fieldLegacyOrderID] = idText(v)
		case "tenant":
			o.attributes[fieldTenant] = idText(v)
		case "orderType":
			o.summary[0] = true
		case "state":
			o.summary[1] = true
		case "stateStarted":
			o.summary[2] = true
		}
		if n := d.paths.lead(k.Str); n != nil {
			o.follow(n, v)
		}
		return true
	})
	if o.values[fieldOrderID] == "" && o.summary == [3]bool{true, true, true} {
		o.values[fieldOrderID] = firstOf(o.uuid, o.id, "")
	}
	return o
}

// follow takes the value that stands at a node of the path tree, and what lies below it.
func (o *object) follow(n *pathNode, v gjson.Result) {
	for _, t := range n.targets {
		if o.ranks[t.field] != 0 && o.ranks[t.field] < t.rank {
			continue
		}
		if id := idText(v); id != "" {
			o.values[t.field], o.ranks[t.field] = id, t.rank
		}
	}
	if len(n.children) == 0 || !v.IsObject() {
		return
	}
	v.ForEach(func(k, v gjson.Result) bool {
		if c := n.lead(k.Str); c != nil {
			o.follow(c, v)
		}
		return true
	})
}

// idText is the text of a string, the literal text of a number, else "".
func idText(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return v.Str
	case gjson.Number:
		return v.Raw
	default:
		return ""
	}
}
