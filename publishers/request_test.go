package publishers

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// dump writes a request as it will stand on the wire, headers sorted.
func dump(r request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\nHost: %s\n", r.method, r.url.RequestURI(), r.url.Host)
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\n", f.Name, f.Value)
	}
	if r.body != nil {
		fmt.Fprintf(&b, "\n%s\n", r.body)
	}
	return b.String()
}

// get is the value of a field, "" if there is none.
func (r request) get(name string) string {
	for _, f := range r.fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

func renderFor(t *testing.T, s *record.Subscription, e *event.Event) (request, error) {
	t.Helper()
	compiled, err := compileEndpoint(s, &sources{})
	if err != nil {
		t.Fatalf("compile: %v", err)
	}
	return compiled.render(&protocol.Delivery{Subscription: s, Event: e, Generation: 7, Attempt: 1}, "orderbridge/test", noon)
}

func TestRenderGolden(t *testing.T) {
	t.Parallel()
	accepted := &event.Event{
		Message: event.Message{Seq: 42, Time: noon, Subject: "orders.acme.OrderAccepted.4711", Data: []byte(`{ "orderId": "4711",  "n": "22" }`)},
		ID:      "e-1", Type: "OrderAccepted", OrderID: "4711",
	}
	for _, tc := range []struct {
		name     string
		sub      *record.Subscription
		event    *event.Event
		delivery protocol.Delivery
		want     string
	}{{
		name:  "POST, event",
		sub:   &record.Subscription{ID: "erp", TargetURL: "https://erp.example.com/orders", Method: "POST", Payload: "event"},
		event: accepted,
		want: `POST /orders
Host: erp.example.com
Content-Type: application/json
Idempotency-Key: fcxfy3q6esvf5cgrjk6ar52oug5slutx
User-Agent: orderbridge/test
Webhook-Id: fcxfy3q6esvf5cgrjk6ar52oug5slutx
Webhook-Timestamp: 1772366400
X-Attempt: 3
X-Event-Type: OrderAccepted
X-Order-Id: 4711

{ "orderId": "4711",  "n": "22" }
`,
	}, {
		name:  "GET",
		sub:   &record.Subscription{ID: "erp", TargetURL: "https://erp.example.com/orders/{orderId}", Method: "GET"},
		event: accepted,
		want: `GET /orders/4711
Host: erp.example.com
Idempotency-Key: fcxfy3q6esvf5cgrjk6ar52oug5slutx
User-Agent: orderbridge/test
Webhook-Id: fcxfy3q6esvf5cgrjk6ar52oug5slutx
Webhook-Timestamp: 1772366400
X-Attempt: 3
X-Event-Type: OrderAccepted
X-Order-Id: 4711
`,
	}, {
		name: "PUT, everything",
		sub: &record.Subscription{
			ID: "erp", TargetURL: "https://erp.example.com:8443/a?x={legacyOrderId}", Method: "PUT", Payload: "notification",
			More: &record.More{
				Headers: map[string]string{"x-api": "abc"},
				Key:     "k&y",
				Auth:    &record.Auth{Type: "basic", Username: "aladdin", Password: "opensesame"},
			},
		},
		event: &event.Event{
			Message: event.Message{Header: map[string][]string{
				"traceparent":          {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
				"tracestate":           {"a=b"},
				"Nats-Msg-Id":          {"e 1"},
				"Nats-Expected-Stream": {"X"},
			}},
			ID: "e 1", PublisherID: "e 1", Type: "Order<Accepted>", OrderID: "a\r\nX-Evil: 1", LegacyOrderID: "ä/ö&b",
		},
		delivery: protocol.Delivery{Redrive: true},
		want: `PUT /a?x=%C3%A4%2F%C3%B6%26b&key=k%26y
Host: erp.example.com:8443
Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l
Content-Type: application/json
Idempotency-Key: glyvvymdsuri2upddtghh6y3te7dqwbm
Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
Tracestate: a=b
User-Agent: orderbridge/test
Webhook-Id: glyvvymdsuri2upddtghh6y3te7dqwbm
Webhook-Timestamp: 1772366400
X-Api: abc
X-Attempt: 3
X-Event-Id: e%201
X-Event-Type: Order<Accepted>
X-Order-Id: a%0D%0AX-Evil:%201
X-Redrive: true

{"orderId":"a\r\nX-Evil: 1","eventType":"Order<Accepted>"}
`,
	}} {
		compiled, err := compileEndpoint(tc.sub, &sources{})
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		d := tc.delivery
		d.Subscription, d.Event, d.Generation, d.Attempt = tc.sub, tc.event, 7, 3
		r, err := compiled.render(&d, "orderbridge/test", noon)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if diff := cmp.Diff(tc.want, dump(r)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestContractD1MethodIsOneOfThree(t *testing.T) {
	t.Parallel()
	for method, ok := range map[string]bool{"GET": true, "POST": true, "PUT": true, "": true, "DELETE": false, "PATCH": false, "get": false} {
		_, err := compileEndpoint(&record.Subscription{TargetURL: "https://h/{orderId}", Method: method}, &sources{})
		if (err == nil) != ok {
			t.Errorf("%q: got %v", method, err)
		}
	}
}

func TestContractD3PercentEncodesOrderID(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1000)
	for id, want := range map[string]string{
		"4711":      "4711",
		"a b":       "a%20b",
		"a/b":       "a%2Fb",
		"a?b#c":     "a%3Fb%23c",
		"50%":       "50%25",
		"a%2Fb":     "a%252Fb",
		"a&b=c;d":   "a%26b%3Dc%3Bd",
		"a+b":       "a%2Bb",
		"ü":         "%C3%BC",
		"注文":        "%E6%B3%A8%E6%96%87",
		"a\r\nb":    "a%0D%0Ab",
		"*":         "%2A",
		"a.b-c_d~e": "a.b-c_d~e",
		"...":       "...",
		"\x00\xff":  "%00%FF",
		"{orderId}": "%7BorderId%7D",
		"..a/b..":   "..a%2Fb..",
		"a//b":      "a%2F%2Fb",
		"/":         "%2F",
		"100%.":     "100%25.",
		long:        long,
	} {
		for _, place := range []string{"/any/path/%s", "/any/path/%s/lines", "/x?orderId=%s", "/x?orderId=%s&y=1"} {
			s := &record.Subscription{ID: "s", Method: "GET", TargetURL: "https://h" + fmt.Sprintf(place, "{orderId}")}
			r, err := renderFor(t, s, &event.Event{ID: "e", OrderID: id})
			if err != nil {
				t.Errorf("%q in %s: %v", id, place, err)
				continue
			}
			if got, want := r.url.RequestURI(), fmt.Sprintf(place, want); got != want {
				t.Errorf("%q in %s:\n got %s\nwant %s", id, place, got, want)
			}
		}
	}
}

func TestContractD4Placeholders(t *testing.T) {
	t.Parallel()
	e := &event.Event{ID: "e", OrderID: "o 1", LegacyOrderID: "l/1"}
	for target, want := range map[string]string{
		"https://h/{orderId}":                   "/o%201",
		"https://h/<orderId>":                   "/o%201",
		"https://h/{legacyOrderId}":             "/l%2F1",
		"https://h/<legacyOrderId>?o={orderId}": "/l%2F1?o=o%201",
		"https://h/a{orderId}b/c":               "/ao%201b/c",
		"https://h/{orderId}{legacyOrderId}":    "/o%201l%2F1",
		"https://h?o={orderId}":                 "/?o=o%201",
		"https://h/?o={orderId}#part":           "/?o=o%201",
		"https://h//a/{orderId}":                "//a/o%201",
		"https://h/a%2Fb/{orderId}":             "/a%2Fb/o%201",
		"https://h/ä b/{orderId}?q=a b":         "/%C3%A4%20b/o%201?q=a%20b",
		"https://h/100%/x":                      "",
		"https://h/?q=100%&o={orderId}":         "/?q=100%25&o=o%201",
		"https://h":                             "/",
		"https://h/":                            "/",
		"https://h/a?b=c":                       "/a?b=c",
		"https://h/a?":                          "/a?",
		"https://h/{orderID}":                   "",
		"https://h/{}":                          "",
		"https://h/{orderId":                    "",
		"https://{orderId}.example.com/":        "",
		"https://h:{orderId}/":                  "",
		"https://{orderId}":                     "",
		"{orderId}":                             "",
		"ftp://h/{orderId}":                     "",
		"https://user:pass@h/{orderId}":         "",
		"https:///x":                            "",
		"//h/x":                                 "",
		"https://h/?a={legacyOrderId}&b=<orderId>&c=static": "/?a=l%2F1&b=o%201&c=static",
	} {
		s := &record.Subscription{ID: "s", Method: "GET", TargetURL: target}
		compiled, err := compileEndpoint(s, &sources{})
		if want == "" {
			if err == nil {
				t.Errorf("%s: accepted", target)
			} else if strings.Contains(err.Error(), "pass") {
				t.Errorf("%s: the error shows the password: %v", target, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		r, err := compiled.render(&protocol.Delivery{Subscription: s, Event: e}, "", noon)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if got := r.url.RequestURI(); got != want || r.url.Host != "h" {
			t.Errorf("%s:\n got %s on %s\nwant %s", target, got, r.url.Host, want)
		}
	}
}

func TestContractB5KeyGoesOnTheURL(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ target, key, want string }{
		{"http://www.example.org/automation", "QueryParameterKey", "/automation/?key=QueryParameterKey"},
		{"http://www.example.org/automation/", "k", "/automation/?key=k"},
		{"http://www.example.org", "k", "/?key=k"},
		{"http://www.example.org/", "k", "/?key=k"},
		{"http://www.example.org/a?b=c", "k", "/a?b=c&key=k"},
		{"http://www.example.org/a?", "k", "/a?key=k"},
		{"http://www.example.org/a?b=c&", "k", "/a?b=c&key=k"},
		{"http://www.example.org/a", "a b&c=d/ä", "/a/?key=a%20b%26c%3Dd%2F%C3%A4"},
		{"http://www.example.org/a", "", "/a"},
		{"http://www.example.org/{orderId}", "k", "/4711/?key=k"},
		{"http://www.example.org/?o={orderId}", "k", "/?o=4711&key=k"},
	} {
		s := &record.Subscription{ID: "s", TargetURL: tc.target, More: &record.More{Key: record.Secret(tc.key)}}
		r, err := renderFor(t, s, &event.Event{ID: "e", OrderID: "4711"})
		if err != nil {
			t.Errorf("%s: %v", tc.target, err)
			continue
		}
		if got := r.url.RequestURI(); got != tc.want {
			t.Errorf("%s with key %q:\n got %s\nwant %s", tc.target, tc.key, got, tc.want)
		}
	}
}

func TestContractD6MissingIDIsNeverEmpty(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		target string
		event  event.Event
		reason string // "" means that it renders
	}{
		{"https://h/{orderId}", event.Event{}, "the event has no orderId, which the target URL needs"},
		{"https://h/?o={orderId}", event.Event{LegacyOrderID: "l"}, "the event has no orderId, which the target URL needs"},
		{"https://h/{orderId}", event.Event{Message: event.Message{Data: []byte(`[{"orderId":"1"}]`)}},
			"the orderId, which the target URL needs, cannot be read from the event: it is a JSON array, not an object: publish each event as a message of its own"},
		{"https://h/{orderId}", event.Event{Message: event.Message{Data: []byte(`{"x":1}`)}}, "the event has no orderId, which the target URL needs"},
		{"https://h/{legacyOrderId}", event.Event{OrderID: "o"}, "the event has no legacyOrderId, which the target URL needs"},
		{"https://h/{orderId}/{legacyOrderId}", event.Event{OrderID: "o"}, "the event has no legacyOrderId, which the target URL needs"},
		{"https://h/{orderId}", event.Event{OrderID: "."}, "the event's orderId is ., which cannot stand in a path"},
		{"https://h/a/{orderId}/b", event.Event{OrderID: ".."}, "the event's orderId is .., which cannot stand in a path"},
		{"https://h/?o={orderId}", event.Event{OrderID: ".."}, ""},
		{"https://h/x", event.Event{}, ""},
	} {
		_, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: tc.target}, &tc.event)
		if got := fmt.Sprint(err); err == nil && tc.reason != "" || err != nil && got != tc.reason {
			t.Errorf("%s, order %q: got %v, want %q", tc.target, tc.event.OrderID, err, tc.reason)
		}
	}
}

func TestContractB4NotificationHasExactlyTwoMembers(t *testing.T) {
	t.Parallel()
	s := &record.Subscription{ID: "s", TargetURL: "https://h/", Payload: "notification"}
	for _, tc := range []struct{ id, eventType, want string }{
		{"07c6ad8c-d1ba-4e73-9bbf-c70a085a449c", "OrderAccepted", `{"orderId":"07c6ad8c-d1ba-4e73-9bbf-c70a085a449c","eventType":"OrderAccepted"}`},
		{`a"b\c`, "<&>", `{"orderId":"a\"b\\c","eventType":"<&>"}`},
		{"\x01\r\n\t", "ä\u2028", `{"orderId":"\u0001\r\n\t","eventType":"ä` + "\u2028" + `"}`},
		{"\xffx", "T", `{"orderId":"` + "\uFFFD" + `x","eventType":"T"}`},
		{"", "T", ""},
		{"o", "", ""},
	} {
		r, err := renderFor(t, s, &event.Event{ID: "e", OrderID: tc.id, Type: tc.eventType, Message: event.Message{Data: []byte("not JSON")}})
		if (err != nil) != (tc.want == "") || string(r.body) != tc.want {
			t.Errorf("%q: got %s, %v\nwant %s", tc.id, r.body, err, tc.want)
		}
		if err == nil && r.get("Content-Type") != "application/json" {
			t.Errorf("content type %q", r.get("Content-Type"))
		}
	}
}

func TestContractA10D7D8BytesUnchanged(t *testing.T) {
	t.Parallel()
	s := &record.Subscription{ID: "s", TargetURL: "https://h/"}
	for _, tc := range []struct{ data, contentType, want string }{
		{`{"elapsedTime":"22","uuid":"u","seq":1}`, "", "application/json"},
		{` [ 1 , 2 ] ` + "\n", "", "application/json"},
		{`{"legacyOrderId":"l","lines":[]}`, "", "application/json"},
		{`"text"`, "", "application/json"},
		{`22`, "", "application/json"},
		{`not JSON`, "", "application/octet-stream"},
		{"\x00\xff", "", "application/octet-stream"},
		{``, "", "application/octet-stream"},
		{`<order/>`, "application/xml; charset=utf-8", "application/xml; charset=utf-8"},
		{`{}`, "text/plain\r\nX-Evil: 1", "application/json"},
		{`{}`, "nonsense", "application/json"},
	} {
		e := &event.Event{ID: "e", Message: event.Message{Data: []byte(tc.data)}}
		if tc.contentType != "" {
			e.Header = map[string][]string{"content-type": {tc.contentType}}
		}
		r, err := renderFor(t, s, e)
		if err != nil || string(r.body) != tc.data || r.body == nil {
			t.Errorf("%q: got %q, %v", tc.data, r.body, err)
		}
		if got := r.get("Content-Type"); got != tc.want {
			t.Errorf("%q: content type %q, want %q", tc.data, got, tc.want)
		}
	}
}

func gzipped(s string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(s))
	z.Close()
	return b.Bytes()
}

// Encoded data goes out as it is, with the header that says so, and only where
// the event itself is the body.
func TestContentEncodingGoesWithTheData(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ payload, encoding, want, contentType string }{
		{"event", "gzip", "gzip", "application/json"},
		{"event", "Br", "br", "application/octet-stream"},
		{"event", "identity", "", "application/octet-stream"},
		{"event", "gzip\r\nX-Evil: 1", "", "application/octet-stream"},
		{"cloudevent", "gzip", "", "application/cloudevents+json"},
		{"notification", "gzip", "", "application/json"},
	} {
		data := gzipped(`{"orderId":"1"}`)
		e := &event.Event{OrderID: "1", Type: "T", Message: event.Message{Data: data, Header: map[string][]string{"content-encoding": {tt.encoding}}}}
		r, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: "https://h/", Payload: tt.payload}, e)
		if err != nil {
			t.Errorf("%s, %s: %v", tt.payload, tt.encoding, err)
			continue
		}
		if got := r.get("Content-Encoding"); got != tt.want || r.get("Content-Type") != tt.contentType {
			t.Errorf("%s, %s: Content-Encoding %q, Content-Type %q", tt.payload, tt.encoding, got, r.get("Content-Type"))
		}
		if tt.payload == "event" && !bytes.Equal(r.body, data) {
			t.Errorf("%s: the bytes were changed", tt.encoding)
		}
	}
}

func TestCloudEvent(t *testing.T) {
	t.Parallel()
	s := &record.Subscription{ID: "s", TargetURL: "https://h/", Payload: "cloudevent"}
	structured := `{"specversion":"1.0", "id":"c","source":"/x","type":"t","data":{"a":1}}`
	for _, tc := range []struct {
		name  string
		event event.Event
		want  string // "" means an error
	}{{
		"made from a plain event",
		event.Event{ID: "e-1", Type: "OrderAccepted", OrderID: "4711", Message: event.Message{Time: noon, Data: []byte(` {"a": "22"} `)}},
		`{"specversion":"1.0","id":"e-1","source":"/orderbridge","type":"OrderAccepted","subject":"4711","time":"2026-03-01T12:00:00Z","datacontenttype":"application/json","data":{"a": "22"}}`,
	}, {
		"binary data",
		event.Event{ID: "e-1", Message: event.Message{Data: []byte{0, 1, 0xff}}},
		`{"specversion":"1.0","id":"e-1","source":"/orderbridge","type":"order.changed","datacontenttype":"application/octet-stream","data_base64":"AAH/"}`,
	}, {
		"looks like JSON and is not",
		event.Event{ID: "e-1", Message: event.Message{Data: []byte(`{"a":}`)}},
		`{"specversion":"1.0","id":"e-1","source":"/orderbridge","type":"order.changed","datacontenttype":"application/json","data_base64":"eyJhIjp9"}`,
	}, {
		"no data",
		event.Event{ID: "e-1", Type: "T"},
		`{"specversion":"1.0","id":"e-1","source":"/orderbridge","type":"T"}`,
	}, {
		"binary mode keeps its attributes",
		event.Event{ID: "ignored", Type: "ignored", OrderID: "ignored", Message: event.Message{
			Time: noon,
			Data: []byte(`{"a":1}`),
			Header: map[string][]string{
				"ce-specversion": {"1.0"}, "ce-id": {"c-1"}, "ce-source": {"/shop%20a"}, "ce-type": {"com.example.order"},
				"Ce-Tenant": {"acme"}, "ce-bad_name": {"x"}, "content-type": {"application/json"}, "Nats-Msg-Id": {"n"},
			},
		}},
		`{"specversion":"1.0","id":"c-1","source":"/shop a","type":"com.example.order","datacontenttype":"application/json","tenant":"acme","data":{"a":1}}`,
	}, {
		"structured mode, by its content type",
		event.Event{ID: "e", Message: event.Message{Data: []byte(structured), Header: map[string][]string{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}}},
		structured,
	}, {
		"structured mode, with a byte order mark and compressed",
		event.Event{ID: "e", Message: event.Message{Data: gzipped("\xef\xbb\xbf" + structured), Header: map[string][]string{"Content-Encoding": {"gzip"}}}},
		structured,
	}, {
		"compressed",
		event.Event{ID: "e", Type: "T", Message: event.Message{Data: gzipped(`{"a":1}`), Header: map[string][]string{"Content-Encoding": {"gzip"}}}},
		`{"specversion":"1.0","id":"e","source":"/orderbridge","type":"T","datacontenttype":"application/json","data":{"a":1}}`,
	}, {
		"compressed in a way that we do not know",
		event.Event{ID: "e", Type: "T", Message: event.Message{Data: []byte{0, 1, 0xff}, Header: map[string][]string{"Content-Encoding": {"br"}, "Content-Type": {"application/json"}}}},
		`{"specversion":"1.0","id":"e","source":"/orderbridge","type":"T","datacontenttype":"application/json","contentencoding":"br","data_base64":"AAH/"}`,
	}, {
		"a byte order mark",
		event.Event{ID: "e", Type: "T", Message: event.Message{Data: []byte("\xef\xbb\xbf{\"a\":1}")}},
		`{"specversion":"1.0","id":"e","source":"/orderbridge","type":"T","datacontenttype":"application/json","data":{"a":1}}`,
	}, {
		"headers that are not UTF-8",
		event.Event{ID: "e", Message: event.Message{Header: map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"a%FF"}, "ce-source": {"/\xfe"}, "ce-type": {"T"}}}},
		`{"specversion":"1.0","id":"a%FF","source":"/%FE","type":"T"}`,
	}, {
		"a batch",
		event.Event{ID: "e", Message: event.Message{Data: []byte("[" + structured + "]"), Header: map[string][]string{"Content-Type": {"application/cloudevents-batch+json"}}}},
		"",
	}, {
		"structured mode, by its content",
		event.Event{ID: "e", Message: event.Message{Data: []byte(structured)}},
		structured,
	}, {
		"structured mode that is not JSON",
		event.Event{ID: "e", Message: event.Message{Data: []byte("{"), Header: map[string][]string{"Content-Type": {"application/cloudevents+json"}}}},
		"",
	}} {
		r, err := renderFor(t, s, &tc.event)
		if (err != nil) != (tc.want == "") {
			t.Errorf("%s: %v", tc.name, err)
		} else if diff := cmp.Diff(tc.want, string(r.body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		if err == nil && r.get("Content-Type") != "application/cloudevents+json" {
			t.Errorf("%s: content type %q", tc.name, r.get("Content-Type"))
		}
	}
}

func TestContractX2SameIDForEachAttempt(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, sub := range []string{"a", "b"} {
		for _, ev := range []string{"e", strings.Repeat("long", 1000), strings.Repeat("long", 1001)} {
			s := &record.Subscription{ID: sub, TargetURL: "https://h/"}
			compiled, err := compileEndpoint(s, &sources{})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for attempt := 1; attempt <= 3; attempt++ {
				r, err := compiled.render(&protocol.Delivery{Subscription: s, Event: &event.Event{ID: ev}, Attempt: attempt}, "", noon.Add(time.Duration(attempt)*time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, r.get("Webhook-Id"), r.get("Idempotency-Key"))
			}
			for _, id := range ids {
				if id != ids[0] || len(id) != 32 || strings.Contains(id, ".") {
					t.Errorf("subscription %s: ids %q", sub, ids)
				}
			}
			what := sub + " " + ev
			if other, ok := seen[ids[0]]; ok {
				t.Errorf("%q and %q have the same id", other, what)
			}
			seen[ids[0]] = what
		}
	}
}

func FuzzHeaderValue(f *testing.F) {
	for _, s := range []string{"", "a", "a b", "50%", "\r\n", "ä", "\x7f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := headerValue(s)
		for i := range len(v) {
			if v[i] <= ' ' || v[i] >= 0x7f {
				t.Fatalf("%q became %q", s, v)
			}
		}
		if utf8.ValidString(s) {
			if back := event.CloudEventValue(v); back != s {
				t.Errorf("%q came back as %q", s, back)
			}
		}
	})
}

func FuzzTemplate(f *testing.F) {
	f.Add("https://h/{orderId}?a=<legacyOrderId>", "a/b", "k")
	f.Add("https://h//x", "..", "")
	f.Fuzz(func(t *testing.T, target, id, key string) {
		tpl, err := parseTemplate(target, key)
		if err != nil {
			return
		}
		u, err := tpl.render(&event.Event{OrderID: id, LegacyOrderID: id})
		if err != nil {
			return
		}
		uri := u.RequestURI()
		if !strings.HasPrefix(uri, "/") && !strings.HasPrefix(uri, u.Scheme+"://"+u.Host+"//") {
			t.Fatalf("%q with %q: request target %q", target, id, uri)
		}
		for i := range len(uri) {
			if uri[i] <= ' ' || uri[i] >= 0x7f || uri[i] == '#' {
				t.Fatalf("%q with %q: request target %q", target, id, uri)
			}
		}
		if _, err := http.NewRequest(http.MethodGet, u.Scheme+"://"+u.Host+uri, nil); err != nil && strings.HasPrefix(uri, "/") {
			t.Fatalf("%q with %q: %v", target, id, err)
		}
	})
}
