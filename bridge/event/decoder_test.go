package event

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testDecoder() *Decoder {
	return &Decoder{Stream: "ORDERS", Created: time.Unix(1700000000, 5)}
}

// ids are what an event tells of itself; ID is what its publisher calls it.
type ids struct{ ID, Type, OrderID, LegacyOrderID, Tenant string }

func idsOf(e *Event) ids { return ids{e.PublisherID, e.Type, e.OrderID, e.LegacyOrderID, e.Tenant} }

func header(pairs ...string) map[string][]string {
	h := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
	}
	return h
}

const defaultID = "" // no publisher told one

func TestDecode(t *testing.T) {
	t.Parallel()
	const summary = `"orderType":"ON_PREMISE","state":"located","stateStarted":"2015-05-05T13:40:18"`
	long := strings.Repeat("x", 513)
	sum := sha256.Sum256([]byte(long))
	for _, c := range []struct {
		name, subject string
		header        map[string][]string
		data          string
		want          ids
	}{
		{"nothing", "orders", nil, "", ids{ID: defaultID}},
		{"not JSON", "orders", nil, `{"orderId":"1"`, ids{ID: defaultID}},
		{"not JSON behind", "orders", nil, `{"orderId":"1"}}`, ids{ID: defaultID}},
		{"no object", "orders", nil, `["orderId","1"]`, ids{ID: defaultID}},
		{"binary", "orders", nil, "\x00\xff{", ids{ID: defaultID}},
		{"deep", "orders", nil, `{"orderId":"1","x":` + strings.Repeat("[", 200000) + strings.Repeat("]", 200000) + "}", ids{ID: defaultID}},
		{"space around", "orders", nil, " \r\n\t{\"orderId\":\"1\"} ", ids{ID: defaultID, OrderID: "1"}},

		{"orderId", "orders", nil, `{"orderId":"1","eventType":"T","legacyOrderId":"L","tenant":"acme"}`, ids{defaultID, "T", "1", "L", ""}},
		{"order.id", "orders", nil, `{"order":{"lines":[1],"id":"1"},"eventName":"T"}`, ids{ID: defaultID, Type: "T", OrderID: "1"}},
		{"orderId before order.id", "orders", nil, `{"order":{"id":"2"},"orderId":"1"}`, ids{ID: defaultID, OrderID: "1"}},
		{"eventType before eventName before type", "orders", nil, `{"type":"c","eventName":"b","eventType":"a"}`, ids{ID: defaultID, Type: "a"}},
		{"an empty one does not count", "orders", nil, `{"eventType":"","type":"c","orderId":"","order":{"id":"2"}}`, ids{ID: defaultID, Type: "c", OrderID: "2"}},
		{"other kinds do not count", "orders", nil, `{"orderId":{"id":"2"},"eventType":["x"],"legacyOrderId":null,"tenant":true}`, ids{ID: defaultID}},
		{"numbers as they stand", "orders", nil, `{"orderId":12345678901234567890,"legacyOrderId":1.50,"type":1e3}`, ids{defaultID, "1e3", "12345678901234567890", "1.50", ""}},
		{"escapes", "orders", nil, `{"orderId":"a\u0000\n\u00e9\/"}`, ids{ID: defaultID, OrderID: "a\x00\né/"}},
		{"escaped name", "orders", nil, `{"order\u0049d":"1"}`, ids{ID: defaultID, OrderID: "1"}},
		{"twice: the last", "orders", nil, `{"orderId":"1","orderId":"2","order":{"id":"3"}}`, ids{ID: defaultID, OrderID: "2"}},
		{"an order id of 512 bytes", "orders", nil, `{"orderId":"` + long[1:] + `"}`, ids{ID: defaultID, OrderID: long[1:]}},
		{"what is longer counts as not told", "orders", nil, `{"orderId":"` + long + `","eventType":"` + long + `","legacyOrderId":"` + long + `"}`, ids{ID: defaultID}},
		{"a dotted name", "orders", nil, `{"order.id":"1"}`, ids{ID: defaultID, OrderID: "1"}},
		{"a name that only begins like a path", "orders", nil, `{"order.no":"1","order.id.x":"2","order.":"3",".":"4"}`, ids{ID: defaultID}},
		{"byte order mark", "orders", nil, "\xef\xbb\xbf" + `{"orderId":"1","eventType":"T"}`, ids{ID: defaultID, Type: "T", OrderID: "1"}},
		{"UTF-16", "orders", nil, "\xff\xfe{\x00\"\x00", ids{ID: defaultID}},
		{"gzip", "orders", header("Content-Encoding", "gzip"), gzipped(`{"orderId":"1"}`), ids{ID: defaultID, OrderID: "1"}},
		{"gzip by another name", "orders", header("content-encoding", "identity, X-GZIP"), gzipped("\xef\xbb\xbf" + `{"orderId":"1"}`), ids{ID: defaultID, OrderID: "1"}},
		{"gzip that is none", "orders", header("Content-Encoding", "gzip"), `{"orderId":"1"}`, ids{ID: defaultID}},
		{"gzip, cut off", "orders", header("Content-Encoding", "gzip"), gzipped(`{"orderId":"1"}`)[:20], ids{ID: defaultID}},
		{"gzip that holds a megabyte", "orders", header("Content-Encoding", "gzip"), gzipped(`{"orderId":"1","x":"` + strings.Repeat("a", 1<<20) + `"}`), ids{ID: defaultID}},
		{"an encoding that we do not know", "orders", header("Content-Encoding", "br"), `{"orderId":"1"}`, ids{ID: defaultID}},
		{"identity", "orders", header("Content-Encoding", "identity"), `{"orderId":"1"}`, ids{ID: defaultID, OrderID: "1"}},
		{"ce- headers that are not UTF-8", "orders", header("ce-orderid", "a%FFb", "ce-type", "T\xff"), ``, ids{ID: defaultID, Type: "T%FF", OrderID: "a%FFb"}},
		{"structured, base64", "orders", nil, `{"specversion":"1.0","id":"e","type":"T","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(`{"orderId":"1"}`)) + `"}`, ids{ID: "e", Type: "T", OrderID: "1"}},
		{"structured, base64 of something else", "orders", nil, `{"specversion":"1.0","id":"e","type":"T","data_base64":"AAEC"}`, ids{ID: "e", Type: "T"}},
		{"batch", "orders", header("Content-Type", "application/cloudevents-batch+json"), `[{"specversion":"1.0","id":"e","type":"T","orderid":"1"}]`, ids{ID: defaultID}},

		{"A10 summary", "orders", nil, `{"uuid":"u","id":"i","type":"ORDER_MODIFIED",` + summary + `}`, ids{ID: defaultID, Type: "ORDER_MODIFIED", OrderID: "u"}},
		{"A10 summary with id", "orders", nil, `{"id":22,` + summary + `}`, ids{ID: defaultID, OrderID: "22"}},
		{"A10 summary with orderId", "orders", nil, `{"uuid":"u","orderId":"o",` + summary + `}`, ids{ID: defaultID, OrderID: "o"}},
		{"uuid and id of others are not an order's", "orders", nil, `{"uuid":"u","id":"i","orderType":"x","state":"y","state":"z"}`, ids{ID: defaultID}},

		{"header ids", "orders", header("Nats-Msg-Id", "m", "ce-id", "c"), ``, ids{ID: "m"}},
		{"ce-id", "orders", header("ce-id", "c"), `{"specversion":"1.0","id":"s"}`, ids{ID: "c"}},
		{"the first of a repeated header", "orders", header("Nats-Msg-Id", "a", "Nats-Msg-Id", "b", "ce-orderid", "1", "ce-orderid", "2"), ``, ids{ID: "a", OrderID: "1"}},
		{"an empty header does not count", "orders", header("Nats-Msg-Id", "", "ce-id", "c"), ``, ids{ID: "c"}},
		{"headers before payload", "orders", header("ce-type", "T", "ce-orderid", "O", "ce-legacyorderid", "L", "ce-tenant", "acme"),
			`{"eventType":"t","orderId":"o","legacyOrderId":"l","tenant":"x"}`, ids{defaultID, "T", "O", "L", ""}},
		{"header case", "orders", header("Ce-Id", "c", "CE-ORDERID", "1", "Ce-Orderid", "2"), ``, ids{ID: "c", OrderID: "1"}},
		{"percent-encoded header", "orders", header("ce-orderid", "PO%201%2F2", "ce-type", "100%"), ``, ids{ID: defaultID, OrderID: "PO 1/2", Type: "100%"}},
		{"Nats-Msg-Id is taken as it is", "orders", header("Nats-Msg-Id", "a%20b"), ``, ids{ID: "a%20b"}},
		{"ce-subject is not an order id", "orders", header("ce-subject", "1"), ``, ids{ID: defaultID}},

		{"structured by member", "orders", nil, `{"specversion":"1.0","id":"e","type":"T","orderid":"","data":{"orderId":"1","eventType":"t","legacyOrderId":"L"}}`, ids{"e", "T", "1", "L", ""}},
		{"structured by content type", "orders", header("Content-Type", "Application/CloudEvents+JSON; charset=utf-8"), `{"id":"e","type":"T","data":{"order":{"id":"1"}}}`, ids{ID: "e", Type: "T", OrderID: "1"}},
		{"structured, attributes first", "orders", nil, `{"specversion":"1.0","id":"e","tenant":"acme","orderid":"A","data":{"orderId":"1","tenant":"x"}}`, ids{ID: "e", OrderID: "A"}},
		{"structured, type only inside", "orders", nil, `{"specversion":"1.0","id":"e","data":{"eventType":"t"}}`, ids{ID: "e", Type: "t"}},
		{"structured, beside data", "orders", nil, `{"specversion":"1.0","id":"e","orderId":"1","data":"text"}`, ids{ID: "e", OrderID: "1"}},
		{"structured, summary inside", "orders", nil, `{"specversion":"1.0","id":"e","data":{"uuid":"u",` + summary + `}}`, ids{ID: "e", OrderID: "u"}},
		{"structured only with that content type", "orders", header("Content-Type", "application/json"), `{"id":"e","type":"T","data":{"orderId":"1"}}`, ids{ID: defaultID, Type: "T"}},

		{"event id with a control character", "orders", header("ce-id", "a%0Ab"), ``, ids{ID: "sha256-" + hashOf("a\nb")}},
		{"event id of 513 bytes", "orders", header("Nats-Msg-Id", long), ``, ids{ID: "sha256-" + hex.EncodeToString(sum[:])}},
		{"event id of 512 bytes", "orders", header("Nats-Msg-Id", long[1:]), ``, ids{ID: long[1:]}},
		{"event id that is not UTF-8", "orders", header("Nats-Msg-Id", "a\xff"), ``, ids{ID: "sha256-" + hashOf("a\xff")}},

		{"subject", "orders.acme.OrderAccepted.4711", nil, `x`, ids{defaultID, "OrderAccepted", "4711", "", "acme"}},
		{"subject last, tenant first", "orders.acme.OrderAccepted.4711", header("ce-tenant", "globex"), `{"orderId":"1","type":"T"}`, ids{defaultID, "T", "1", "", "acme"}},
		{"short subject", "orders.created", nil, ``, ids{ID: defaultID}},
		{"three tokens", "orders.acme.created", nil, ``, ids{ID: defaultID, Tenant: "acme"}},
		{"five tokens", "orders.acme.created.1.x", nil, ``, ids{ID: defaultID, Tenant: "acme"}},
		{"another first token", "sales.acme.created.1", nil, ``, ids{ID: defaultID}},
	} {
		e := testDecoder().Decode(&Message{Seq: 7, Subject: c.subject, Header: c.header, Data: []byte(c.data)})
		if diff := cmp.Diff(c.want, idsOf(e)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
		if string(e.Data) != c.data || e.Seq != 7 || e.Subject != c.subject {
			t.Errorf("%s: the message was changed", c.name)
		}
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.String()
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestDecodeAsConfigured(t *testing.T) {
	t.Parallel()
	d := testDecoder()
	d.OrderIDPaths = []string{"a.b.c", "a.n"}
	d.TypePaths = []string{}
	d.SubjectLayout = "{eventType}.*.x.{legacyOrderId}"
	m := &Message{Seq: 7, Subject: "created.any.x.L", Data: []byte(`{"a":{"n":"2","b":{"c":"1"}},"orderId":"no","type":"no"}`)}
	if diff := cmp.Diff(ids{defaultID, "created", "1", "L", ""}, idsOf(d.Decode(m))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	m.Subject = "created.any.y.L"
	if diff := cmp.Diff(ids{ID: defaultID, OrderID: "1"}, idsOf(d.Decode(m))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	off := testDecoder()
	off.SubjectLayout = "-"
	if got := idsOf(off.Decode(&Message{Seq: 7, Subject: "orders.acme.created.1"})); got != (ids{ID: defaultID}) {
		t.Errorf("without layout: %+v", got)
	}
}

func readLines(t testing.TB, name string) (lines [][]byte) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		if !json.Valid(s.Bytes()) {
			t.Fatalf("%s: not JSON: %s", name, s.Bytes())
		}
		lines = append(lines, bytes.Clone(s.Bytes()))
	}
	return lines
}

// TestDecodeContracts reads an event of each contract, as their vendors show them.
func TestDecodeContracts(t *testing.T) {
	t.Parallel()
	want := []ids{
		{defaultID, "ORDER_MODIFIED", "147e7ccd-c17f-45b4-b5d4-bf14e9c0e244", "", ""},
		{defaultID, "OrderAccepted", "07c6ad8c-d1ba-4e73-9bbf-c70a085a449c", "", ""},
		{defaultID, "PurchaseCompleted", "9b1f7a52-6d0e-4f43-8a57-3f2f4f0c8d11", "", ""},
		{defaultID, "OrderLinesChanged", "PO-2026-0817", "", ""},
		{defaultID, "OrderChanged", "", "100482", ""},
		{"e-1", "com.example.OrderAccepted", "4711", "L-9", ""},
	}
	var got []ids
	for _, line := range readLines(t, "testdata/events.ndjson") {
		got = append(got, idsOf(testDecoder().Decode(&Message{Seq: 7, Subject: "orders", Data: line})))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDemoEvents(t *testing.T) {
	t.Parallel()
	changes := map[string]int{}
	lines := readLines(t, "../../cmd/orderbridge/demo-events.ndjson")
	for i, line := range lines {
		e := testDecoder().Decode(&Message{Seq: uint64(i + 1), Subject: "orders", Data: line})
		if e.OrderID == "" || e.Type == "" {
			t.Errorf("line %d has order id %q and type %q", i+1, e.OrderID, e.Type)
		}
		changes[e.OrderID]++
	}
	if len(lines) < 12 || len(changes) < 4 || len(changes) > 5 {
		t.Errorf("%d events of %d orders", len(lines), len(changes))
	}
	for order, n := range changes {
		if n < 2 {
			t.Errorf("order %s has only one event", order)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, line := range readLines(f, "testdata/events.ndjson") {
		f.Add("orders.acme.OrderAccepted.1", "ce-id", "x", line)
	}
	f.Add("a..b", "Nats-Msg-Id", "%zz\n", []byte(`{"orderId":"\ud800"}`))
	d := testDecoder()
	f.Fuzz(func(t *testing.T, subject, name, value string, data []byte) {
		e := d.Decode(&Message{Seq: 7, Subject: subject, Header: map[string][]string{name: {value}}, Data: data})
		if e.ID != "ORDERS-7-0" || e.PublisherID != publisherID(e.PublisherID) {
			t.Errorf("event id %q, of the publisher %q", e.ID, e.PublisherID)
		}
		if len(e.OrderID) > len(data)+len(value)+len(subject) {
			t.Errorf("order id %q", e.OrderID)
		}
		if !json.Valid(data) && !strings.HasPrefix(strings.ToLower(name), "ce-") && strings.Count(subject, ".") != 3 && (e.OrderID != "" || e.Type != "") {
			t.Errorf("%q is not JSON, but tells %+v", data, idsOf(e))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(`{"eventName":"OrderLinesChanged","orderId":"PO-2026-0817","version":3,"buyer":{"companyId":"acme","orderNumber":"4500012345"},"supplier":{"companyId":"globex","orderNumber":"SO-99120"},"lines":[` +
		strings.TrimSuffix(strings.Repeat(`{"position":"00020","item":"Shaft seal","quantity":250,"unit":"PCE","deliveryDate":"2026-12-08"},`, 3), ",") + `]}`)
	for _, bb := range []struct {
		name   string
		header map[string][]string
	}{
		{"plain", nil},
		{"headers", header("Nats-Msg-Id", "0d1e2f", "Content-Type", "application/json", "traceparent", "00-1-2-01", "X-Source", "erp")},
	} {
		b.Run(bb.name, func(b *testing.B) {
			d := testDecoder()
			m := &Message{Seq: 7, Subject: "orders.acme.OrderLinesChanged.PO-2026-0817", Header: bb.header, Data: body}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				d.Decode(m)
			}
		})
	}
}

func TestCheckSubjectLayout(t *testing.T) {
	t.Parallel()
	for layout, good := range map[string]bool{
		"": true, "-": true, DefaultSubjectLayout: true, "shop.*.{orderId}": true, "orders.*.*.{orderId}": true,
		"orders..{orderId}": false, "{foo}.x": false, "orders.{orderId}.{orderId}": false, "orders.>": false, "orders.{tenant": false,
	} {
		if err := CheckSubjectLayout(layout); (err == nil) != good {
			t.Errorf("CheckSubjectLayout(%q) = %v, want good %v", layout, err, good)
		}
	}
}
