package publishers

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

func fullAttempt() bridge.Attempt {
	at := time.Date(2026, 11, 26, 19, 30, 0, 123456789, time.UTC)
	return bridge.Attempt{Time: at.Truncate(time.Millisecond), Subscription: "erp", Generation: 7, Tenant: "acme", Order: `4711 "ü" \`, Sequence: 12,
		Published: at, EventID: "ORDERS-12-1", PublisherID: "e1", EventType: "OrderAccepted", DeliveryID: "abc", Attempt: 3, Kind: bridge.KindRetry,
		Outcome: bridge.OutcomeFailed, Status: 503, Reason: "503 Service Unavailable: no\u202e way",
		Request:  &bridge.AttemptRequest{Method: "POST", URL: "https://h/…", Headers: bridge.AttemptHeaders{{Name: "A", Value: "1"}, {Name: "B", Value: "<&>"}}},
		Response: &bridge.AttemptResponse{Headers: bridge.AttemptHeaders{{Name: "Date", Value: "x"}}, Excerpt: "no", Bytes: 2},
		Timings:  &bridge.AttemptTimings{DNS: 1, Connect: 0.066, TLS: 23.32, FirstByte: 0.001, Total: 39.25}, Next: at.Add(time.Minute).Truncate(time.Millisecond),
		TraceID: "0af7651916cd43dd8448eb211c80319c", Shard: 2, Replica: "r1"}
}

// TestAttemptLogEntries: what is written by hand is what encoding/json reads and
// would write, whichever members are empty.
func TestAttemptLogEntries(t *testing.T) {
	t.Parallel()
	full := fullAttempt()
	entries := []bridge.Attempt{full, {Subscription: "erp", Outcome: bridge.OutcomeDelivered, Shard: -1}}
	for i := range reflect.TypeOf(full).NumField() {
		a := full
		reflect.ValueOf(&a).Elem().Field(i).SetZero()
		entries = append(entries, a)
	}
	for _, a := range entries {
		b := appendAttempt([]byte("before"), &a)[len("before"):]
		got, err := ParseAttempt(b)
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		want, err := json.Marshal(a)
		ok(t, err)
		again, err := json.Marshal(got)
		ok(t, err)
		if string(again) != string(want) {
			t.Errorf("read back:\n%s\nwant\n%s", again, want)
		}
		if strings.ContainsRune(string(b), '\u202e') {
			t.Errorf("a character that turns the text around stands in %s", b)
		}
		var members, wanted map[string]json.RawMessage
		ok(t, json.Unmarshal(b, &members))
		ok(t, json.Unmarshal(want, &wanted))
		for name := range wanted {
			if _, there := members[name]; !there && !(name == "time" && a.Time.IsZero() || name == "subscription" || name == "outcome") {
				t.Errorf("%s is missing in %s", name, b)
			}
		}
	}
}

// TestAttemptQueueIsShared: a flood of one tenant's entries leaves room for others,
// who are served in turn, and for what failed.
func TestAttemptQueueIsShared(t *testing.T) {
	t.Parallel()
	q := newAttemptQueue()
	data := make([]byte, 700)
	flood := attemptOwner{tenant: "flood"}
	for q.add(flood, "a", "-", data, false) {
	}
	if q.number < limits.AttemptQueueBytes/2/len(data) || q.bytes > limits.AttemptQueueBytes*2/3+len(data) {
		t.Errorf("one tenant alone has %d entries of %d bytes", q.number, q.bytes)
	}
	if q.hasRoom(flood, false) || !q.hasRoom(flood, true) || !q.hasRoom(attemptOwner{tenant: "calm"}, false) {
		t.Error("who asks for room is told something else than who adds an entry")
	}
	if !q.add(flood, "a", "-", data, true) {
		t.Error("what failed has no room beside what went well")
	}
	for i := range 100 {
		if !q.add(attemptOwner{subscription: fmt.Sprint("s", i)}, fmt.Sprint("s", i), "4711", data, false) {
			t.Fatalf("no room for another's entry %d", i)
		}
	}
	var b attemptBatch
	before := q.number
	left := q.take(&b, 100, limits.AttemptBatchBytes)
	if len(b.entries) != 100 || left != before-100 || len(b.data) != 100*len(data) {
		t.Fatalf("took %d entries of %d bytes, %d are left of %d", len(b.entries), len(b.data), left, before)
	}
	others := 0
	for _, e := range b.entries {
		if e.order == "4711" {
			others++
		}
	}
	if others != 99 {
		t.Errorf("%d of 100 entries are others', want all but the one whose turn it was", others)
	}
	for q.take(&b, 100, limits.AttemptBatchBytes) > 0 {
	}
	if q.number != 0 || q.bytes != 0 || len(q.owners) != 0 || len(q.turns) != 0 {
		t.Errorf("left: %d entries, %d bytes, %d owners", q.number, q.bytes, len(q.owners))
	}
}

// TestNotes: both clients tell the same of an exchange, and no secret of the record
// that the endpoint sends back.
func TestNotes(t *testing.T) {
	t.Parallel()
	const token = "s3cr3t-of-the-record"
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("X-Long", strings.Repeat("y", limits.AnswerNoteHeadBytes))
		status := http.StatusOK
		if r.Header.Get("X-Attempt") == "2" {
			status = http.StatusServiceUnavailable
		}
		w.WriteHeader(status)
		fmt.Fprint(w, "you sent "+r.Header.Get("Authorization")+" to "+r.URL.Path+strings.Repeat(".", 1000))
	})
	for _, netHTTP := range []bool{false, true} {
		w := newWebhook(t, func(o *Options) { o.NetHTTP = netHTTP })
		d := delivery(server.URL + "/hooks/AbCdEf0123456789XyZ")
		d.Subscription.More = &record.More{Auth: &record.Auth{Type: "bearer", Token: token}}
		for _, attempt := range []int{1, 2, 1} {
			d.Attempt = attempt
			var x bridge.Exchange
			err := publish(bridge.WithExchange(t.Context(), &x), w, d)
			if (err != nil) != (attempt == 2) {
				t.Fatal(err)
			}
			var a bridge.Attempt
			x.Tell(&a)
			if a.Request == nil || a.Response == nil || a.Timings == nil {
				t.Fatalf("net/http %t: noted: %+v", netHTTP, x)
			}
			text, _ := json.Marshal(a)
			for _, secret := range []string{token, "AbCdEf0123456789XyZ", "session=1"} {
				if strings.Contains(string(text), secret) {
					t.Errorf("net/http %t: %q stands in %s", netHTTP, secret, text)
				}
			}
			if a.Request.Method != "POST" || a.Request.Headers.Get("Authorization") != redacted || a.Request.Bytes == 0 ||
				!strings.HasSuffix(a.Request.URL, "/hooks/…") {
				t.Errorf("net/http %t: request %+v", netHTTP, a.Request)
			}
			if !strings.Contains(a.Response.Headers.Get("X-Echo"), redacted) || a.Response.Headers.Get("X-Long") != "" ||
				!strings.HasPrefix(a.Response.Excerpt, "you sent ") || len(a.Response.Excerpt) > 2*limits.AnswerNoteTextBytes || a.Response.Bytes < 1000 {
				t.Errorf("net/http %t: response %+v", netHTTP, a.Response)
			}
			if a.Timings.Total <= 0 || a.Timings.FirstByte <= 0 {
				t.Errorf("net/http %t: timings %+v", netHTTP, a.Timings)
			}
			if first := attempt == 1 && x.Timings.TLS > 0; first != (x.Timings.Connect > 0) {
				t.Errorf("net/http %t: timings %+v", netHTTP, a.Timings)
			}
		}
	}
}
