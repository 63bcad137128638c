package record

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

var sameRecord = cmpopts.IgnoreUnexported(Subscription{})

func TestParseGoodRecords(t *testing.T) {
	t.Parallel()
	for _, record := range goodRecords {
		s, problems := Parse("erp", []byte(record), testPolicy)
		if s == nil || problems.Err() != nil {
			t.Errorf("%s: %v", record, problems)
		}
	}
}

func TestParseBadRecords(t *testing.T) {
	t.Parallel()
	for _, c := range badRecords {
		s, problems := Parse("erp", []byte(c.record), testPolicy)
		if s != nil {
			t.Errorf("%s: accepted", c.name)
		}
		found := false
		for _, p := range problems.Errors() {
			found = found || p.Field == c.field && strings.Contains(p.Message, c.message)
		}
		if !found {
			t.Errorf("%s: %q, want %s: …%s…", c.name, problems, c.field, c.message)
		}
		if len(problems.Errors()) != 1 {
			t.Errorf("%s: one thing is wrong, but %q", c.name, problems)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", problems, problems), "hunter2") {
			t.Errorf("%s: the secret is shown: %v", c.name, problems)
		}
	}
}

func TestParseNotARecord(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"":                                   "is empty",
		" \n":                                "is empty",
		"[]":                                 "not a JSON object",
		"7":                                  "not a JSON object",
		`"x"`:                                "not a JSON object",
		"{\n  \"a\": 1,\n  b}":               "line 3, column 3",
		`{"targetURL":"https://h/"`:          "not JSON",
		`{"targetURL":"https://h/"}{}`:       "not JSON",
		"\xef\xbb\xbf{}":                     "byte order mark",
		"{\"targetURL\":\"https://h/\xff\"}": "not UTF-8",
		`{"targetURL":"https://h/"}` + strings.Repeat(" ", 64<<10):              "at most 65536",
		strings.Repeat("[", 60000):                                              "not JSON",
		`{"targetURL":"https://h/","x":` + strings.Repeat(`{"x":`, 12000) + "1": "not JSON",
	} {
		s, problems := Parse("erp", []byte(record), testPolicy)
		if err := problems.Err(); s != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", record, err, want)
		}
	}
	for _, id := range []string{"", "a.b", "a b", "ä", strings.Repeat("x", 65)} {
		if s, problems := Parse(id, []byte(goodRecords[0]), testPolicy); s != nil || problems.Err() == nil {
			t.Errorf("id %q is accepted", id)
		}
	}
}

func TestParseTellsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := Parse("erp", []byte(
		`{"method":"X","subjects":["a..b","ok",">.x"],"timeout":"60","filter":"evnt","nonsense":1,"auth":{"type":"basic","username":"u","password":"p"}}`), testPolicy)
	var fields []string
	for _, p := range problems {
		fields = append(fields, fmt.Sprintf("%s %v", p.Field, p.Warning))
	}
	want := []string{"method false", "subjects[0] false", "subjects[2] false", "timeout false", "filter false", "nonsense false", "auth.password true", "targetURL false"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := problems.Err().Error(); strings.Contains(err, "auth.password") || !strings.Contains(err, "; subjects[2]: ") {
		t.Errorf("Err() = %s", err)
	}
}

func TestParseBoundsItsProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"targetURL":"https://h/","headers":{`)
	for i := range limits.RecordList {
		fmt.Fprintf(&b, `"X-Token-%d":"t",`, i)
	}
	good := strings.TrimSuffix(b.String(), ",") + "}"
	s, problems := Parse("erp", []byte(good+"}"), testPolicy)
	if s == nil || len(problems) != limits.RecordProblems+1 || problems.Err() != nil {
		t.Errorf("%d warnings make an error: %v", limits.RecordList, problems.Err())
	}
	if s, problems := Parse("erp", []byte(good+`,"nonsense":1}`), testPolicy); s != nil || problems.Err() == nil {
		t.Error("an error behind many warnings is overlooked")
	}
	b.Reset()
	for i := range 5000 {
		fmt.Fprintf(&b, `,"m%d":1`, i)
	}
	s, problems = Parse("erp", []byte(`{"targetURL":"https://h/"`+b.String()+"}"), testPolicy)
	if s != nil || len(problems) != limits.RecordProblems+1 {
		t.Errorf("%d problems", len(problems))
	}
}

// What only events have is nothing for a record that hears alerts, and payloads for
// alerts are for it alone.
func TestParseSource(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		`{"targetURL":"https://h/","payload":"slack"}`:                                                  "payload",
		`{"targetURL":"https://h/","source":"events","payload":"pagerduty"}`:                            "payload",
		`{"targetURL":"https://h/","source":"alerts","startFrom":"all"}`:                                "startFrom",
		`{"targetURL":"https://h/","source":"alerts","payload":"notification","coalesce":true}`:         "coalesce",
		`{"targetURL":"https://h/{orderId}","source":"alerts"}`:                                         "targetURL",
		`{"targetURL":"https://h/","source":"alarms"}`:                                                  "source",
		`{"targetURL":"https://h/","source":"alerts","payload":"alertmanager"}`:                         "",
		`{"targetURL":"https://h/","source":"alerts","tenant":"acme","filter":"event.data.count > 10"}`: "",
	} {
		s, problems := Parse("erp", []byte(record), testPolicy)
		got := ""
		for _, p := range problems {
			got += p.Field
		}
		if got != want || (s == nil) != (want != "") {
			t.Errorf("%s: %v, want a problem of %q", record, problems, want)
		}
	}
}

func TestParseWarnings(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		goodRecords[0]: "",
		`{"targetURL":"https://h/","auth":{"type":"basic","username":"u","password":"hunter2"}}`:              "auth.password",
		`{"targetURL":"https://h/","key":"hunter2"}`:                                                          "key",
		`{"targetURL":"https://h/","headers":{"X-Api-Key":"hunter2"}}`:                                        "headers.X-Api-Key",
		`{"targetURL":"https://h/","headers":{"X-Plant":"7"}}`:                                                "",
		`{"targetURL":"https://h/","secret":"hunter2"}`:                                                       "secret",
		`{"targetURL":"https://h/","key":"file:key"}`:                                                         "",
		`{"targetURL":"https://h/","signing":{"secrets":["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]}}`:         "signing.secrets[0]",
		`{"targetURL":"https://h/","signing":{"secrets":["sealed:YQ"],"formerUntil":"2026-01-02T15:04:05Z"}}`: "signing.formerUntil",
		`{"targetURL":"https://h/%7BorderId%7D"}`:                                                             "targetURL",
		`{"targetURL":"https://h/{orderId}","method":"GET","payload":"event"}`:                                "payload",
		`{"targetURL":"https://h/{orderId}","method":"GET","coalesce":true,"ordering":"none"}`:                "coalesce",
	} {
		_, problems := Parse("erp", []byte(record), testPolicy)
		got := ""
		for _, p := range problems {
			got += p.Field
		}
		if got != want || problems.Err() != nil || strings.Contains(problems.Error(), "hunter2") {
			t.Errorf("%s: %v, want a warning for %q", record, problems, want)
		}
	}
}

func TestRecordPolicy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url    string
		policy Policy
		ok     bool
	}{
		{"http://h/", Policy{}, false},
		{"http://h/", Policy{AllowHTTP: true}, true},
		{"http://h/", Policy{AllowHTTPLoopback: true}, false},
		{"http://127.0.0.1/", Policy{}, false},
		{"http://127.8.8.8/", Policy{AllowHTTPLoopback: true}, true},
		{"http://[::1]:80/", Policy{AllowHTTPLoopback: true}, true},
		{"http://[::ffff:127.0.0.1]/", Policy{AllowHTTPLoopback: true}, true},
		{"http://LOCALHOST/", Policy{AllowHTTPLoopback: true}, true},
		{"http://10.0.0.1/", Policy{AllowHTTPLoopback: true}, false},
	} {
		_, problems := Parse("erp", []byte(`{"targetURL":"`+c.url+`"}`), c.policy)
		if (problems.Err() == nil) != c.ok {
			t.Errorf("%s under %+v: %v", c.url, c.policy, problems)
		}
	}
}

// TestPermissions: one text names every permission that a record lacks.
func TestPermissions(t *testing.T) {
	t.Parallel()
	record := []byte(`{"targetURL":"http://10.0.0.1/","tls":{"trustAll":true},
		"auth":{"type":"client_credential","clientID":"c","clientSecret":"hunter2","tokenURL":"http://10.0.0.2/token"}}`)
	private := errors.New("is private: ORDERBRIDGE_EGRESS_ALLOW")
	_, problems := Parse("erp", record, Policy{CheckAddress: func(netip.Addr) error { return private }})
	text := problems.Err().Error()
	for setting, times := range map[string]int{"ORDERBRIDGE_ALLOW_HTTP=true": 2, "ORDERBRIDGE_EGRESS_ALLOW": 2, "ORDERBRIDGE_ALLOW_TRUST_ALL=true": 1} {
		if strings.Count(text, setting) != times {
			t.Errorf("%s is named %d times, want %d: %s", setting, strings.Count(text, setting), times, text)
		}
	}
	s, problems := Parse("erp", record, Policy{AllowHTTP: true, AllowTrustAll: true, CheckAddress: func(netip.Addr) error { return nil }})
	if s == nil || len(problems.Warnings()) != 2 {
		t.Errorf("with all permissions: %v", problems)
	}
}

func TestParsedRecord(t *testing.T) {
	t.Parallel()
	plain, _ := Parse("erp", []byte(`{"targetURL":"https://erp.example.com/x"}`), Policy{})
	if diff := cmp.Diff(&Subscription{ID: "erp", TargetURL: "https://erp.example.com/x", Method: "POST", Payload: "event", MaxInFlight: 16}, plain, sameRecord); diff != "" {
		t.Errorf("plain record (-want +got)\n%s", diff)
	}
	if plain.AttemptTimeout() != 30*time.Second || plain.ConnectTimeout() != 10*time.Second || len(plain.RetrySchedule()) != 8 || plain.RetrySchedule()[2] != 5*time.Minute {
		t.Errorf("defaults: %v, %v, %v", plain.AttemptTimeout(), plain.ConnectTimeout(), plain.RetrySchedule())
	}

	full, problems := Parse("erp", []byte(`{
		"targetURL":"https://erp.example.com/{orderId}", "method":"GET", "payload":"notification", "tenant":"acme",
		"subjects":["orders.acme.>","orders.acme.x","orders.b.*"], "eventTypes":["Order*","OrderAccepted","*X"],
		"status":"deactivated", "coalesce":true, "ordering":"strict", "maxInFlight":3,
		"headers":{"x-plant":"7"}, "key":"k", "auth":{"password":"p","username":"u","type":"basic"},
		"connectionTimeout":"PT3S", "timeout":"PT7S", "retry":{"schedule":["PT1S"]}, "startFrom":"all",
		"description":"d", "labels":{"a":"b"}, "id":"erp", "createdAt":"2026-01-02T15:04:05Z"}`), Policy{})
	want := &Subscription{
		ID: "erp", TargetURL: "https://erp.example.com/{orderId}", Method: "GET", Payload: "notification", Tenant: "acme",
		Subjects: []string{"orders.acme.>", "orders.b.*"}, Types: []string{"Order*", "*X"},
		Inactive: true, Coalesce: true, Ordering: event.OrderingStrict, MaxInFlight: 3,
		More: &More{
			Headers: map[string]string{"X-Plant": "7"}, Key: "k", Auth: &Auth{Type: "basic", Username: "u", Password: "p"},
			ConnectionTimeout: 3 * time.Second, Timeout: 7 * time.Second, Schedule: []time.Duration{time.Second},
			StartFrom: "all", Description: "d", Labels: map[string]string{"a": "b"},
		},
	}
	if diff := cmp.Diff(want, full, sameRecord); diff != "" {
		t.Errorf("full record (-want +got)\n%s\n%v", diff, problems)
	}
	if full.AttemptTimeout() != 7*time.Second || full.ConnectTimeout() != 3*time.Second || len(full.RetrySchedule()) != 1 {
		t.Errorf("given values: %v, %v, %v", full.AttemptTimeout(), full.ConnectTimeout(), full.RetrySchedule())
	}
	if none, _ := Parse("erp", []byte(`{"targetURL":"https://h/","retry":{"schedule":[]}}`), Policy{}); len(none.RetrySchedule()) != 0 {
		t.Errorf("empty schedule: %v", none.RetrySchedule())
	}
	every, _ := Parse("erp", []byte(`{"targetURL":"https://h/","subjects":["a",">"],"eventTypes":["**","x"]}`), Policy{})
	if every.Subjects != nil || every.Types != nil {
		t.Errorf("filters that cover all: %v, %v", every.Subjects, every.Types)
	}
}

func FuzzParseSubscription(f *testing.F) {
	for _, r := range goodRecords {
		f.Add([]byte(r))
	}
	for _, c := range badRecords {
		f.Add([]byte(c.record))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, problems := Parse("erp", data, testPolicy)
		if (s == nil) != (problems.Err() != nil) || len(problems) > 2*limits.RecordProblems+2 {
			t.Fatalf("%v, %v", s, problems)
		}
		if s != nil && (s.Origin() == "" || s.Describe() == "" || s.MaxInFlight < 1) {
			t.Errorf("%+v", s)
		}
	})
}

func BenchmarkParseSubscription(b *testing.B) {
	record := []byte(`{"targetURL":"https://erp.example.com/orders/{orderId}","subjects":["orders.acme.>"],"eventTypes":["OrderAccepted"]}`)
	for b.Loop() {
		Parse("erp", record, Policy{})
	}
}

// Whoever wants to be tried too soon is tried as soon as may be, and told so.
func TestLeastWaits(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		least      time.Duration
		record     string
		waits      []time.Duration
		timeout    time.Duration
		connection time.Duration
		warned     []string
	}{
		"short":  {record: `"retry":{"schedule":["1ns","PT1S","999ms","PT5S"]}`, waits: []time.Duration{time.Second, time.Second, time.Second, 5 * time.Second}, warned: []string{"retry.schedule[0]", "retry.schedule[2]"}},
		"dev":    {least: 100 * time.Millisecond, record: `"retry":{"schedule":["1ns","PT0.2S"]}`, waits: []time.Duration{100 * time.Millisecond, 200 * time.Millisecond}, warned: []string{"retry.schedule[0]"}},
		"others": {record: `"timeout":"1ns","connectionTimeout":"1ns"`, timeout: 10 * time.Millisecond, connection: 10 * time.Millisecond, warned: []string{"timeout", "connectionTimeout"}},
		"good":   {record: `"timeout":"PT1S","retry":{"schedule":["PT1S"]}`, waits: []time.Duration{time.Second}, timeout: time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, problems := Parse("s", []byte(`{"targetURL":"https://h/",`+tt.record+`}`), Policy{LeastWait: tt.least})
			if s == nil {
				t.Fatal(problems)
			}
			var warned []string
			for _, p := range problems {
				if !p.Warning {
					t.Errorf("an error: %s", p)
				}
				warned = append(warned, p.Field)
			}
			slices.Sort(warned)
			slices.Sort(tt.warned)
			if !slices.Equal(warned, tt.warned) || !slices.Equal(s.More.Schedule, tt.waits) || s.More.Timeout != tt.timeout || s.More.ConnectionTimeout != tt.connection {
				t.Errorf("got %v, %s, %s, warned of %v", s.More.Schedule, s.More.Timeout, s.More.ConnectionTimeout, warned)
			}
		})
	}
}

func TestPerOrderURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"https://h/orders":                 false,
		"https://h/{orderId}":              true,
		"https://h/?id=<legacyOrderId>":    true,
		"https://h/{legacyOrderId}":        true,
		"https://h/<orderId>":              true,
		"https://h/{other}?orderId=static": false,
	} {
		if got := (&Subscription{TargetURL: url}).PerOrderURL(); got != want {
			t.Errorf("%s: got %v", url, got)
		}
	}
}
