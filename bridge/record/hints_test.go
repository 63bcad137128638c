package record

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Each member has an example, and each example is good.
func TestMembersHaveGoodExamples(t *testing.T) {
	t.Parallel()
	policy := Policy{AllowTrustAll: true, CheckFilter: func(string) error { return nil }}
	for _, m := range recordObject.members {
		if m.example == "" && !slices.Contains([]string{"transform", "id", "createdAt", "updatedAt"}, m.name) {
			t.Errorf("%s has no example", m.name)
		}
	}
	for field, m := range memberAt {
		example, _, _ := strings.Cut(m.example, " or ")
		if example == "" {
			continue
		}
		record := `{"targetURL":"https://erp.example.com/{orderId}","` + field + `":` + example + `}`
		if field == "coalesce" {
			record = `{"targetURL":"https://erp.example.com/{orderId}","method":"GET","coalesce":true}`
		}
		if field == "targetURL" {
			record = `{"targetURL":` + example + `}`
		}
		if parent, member, nested := strings.Cut(field, "."); nested {
			if parent == "auth" || parent == "rateLimit" || parent == "tls" || field == "signing.formerUntil" {
				continue // needs its siblings
			}
			record = `{"targetURL":"https://erp.example.com/","` + parent + `":{"` + member + `":` + example + `}}`
		}
		if _, problems := Parse("acme", []byte(record), policy); problems.Err() != nil {
			t.Errorf("%s: %v", record, problems.Err())
		}
	}
}

func TestMessagesShowWhatIsRight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ members, want string }{
		{`"timeout":10`, `timeout: must be a string, is a number, which has no unit; write "PT10S" or "10s"`},
		{`"retry":{"schedule":[5,"PT1M"]}`, `retry.schedule[0]: must be a string, is a number, which has no unit; write "PT5S" or "5s"`},
		{`"retry":["PT5S"]`, `retry: must be an object, is an array; write it like {"schedule":["PT5S","PT1M","PT1H"]}`},
		{`"subjects":"orders.acme.>"`, `subjects: must be an array, is a string; write ["orders.acme.>"]`},
		{`"eventTypes":[7]`, `eventTypes[0]: must be a string, is a number; write it in quotes`},
		{`"maxInFlight":"4"`, `maxInFlight: must be a number, is a string; write 4 without quotes`},
		{`"coalesce":"true"`, `coalesce: must be a boolean, is a string; write true without quotes`},
		{`"auth":"basic"`, `auth: must be an object, is a string; write it like {"type":"bearer","token":"env:ORDERBRIDGE_SECRET_TOKEN"}`},
		{`"auth":{"type":"basic","user":"u","password":"env:ORDERBRIDGE_SECRET_X"}`, `auth.user: is unknown; the nearest known member is "auth.username"`},
		{`"auth":{"type":"basic","username":"u","pass":"env:ORDERBRIDGE_SECRET_X"}`, `auth.pass: is unknown; the nearest known member is "auth.password"`},
		{`"url":"https://h/"`, `url: is unknown; the nearest known member is "targetURL"`},
		{`"events":["a"]`, `events: is unknown; the nearest known member is "eventTypes"`},
		{`"timeOut":"PT1S"`, `timeOut: is unknown; the nearest known member is "timeout"`},
		{`"retries":3`, `retries: is unknown; the nearest known member is "retry"`},
		{`"tls":{"zzz":1}`, `tls.zzz: is unknown; known are `},
		{`"secret":4711`, `secret: must be a string, is a number; write it like "env:ORDERBRIDGE_SECRET_SIGNATURE"`},
		{`"signing":{"secrets":"whsec_hunter2"}`, `signing.secrets: must be an array, is a string; write it like ["env:ORDERBRIDGE_SECRET_SIGNING"]`},
	} {
		_, problems := Parse("acme", []byte(`{"targetURL":"https://erp.example.com/",`+tt.members+`}`), Policy{})
		if text := problems.Errors().Error(); !strings.Contains(text, tt.want) || strings.Contains(text, "4711") || strings.Contains(text, "hunter2") {
			t.Errorf("%s: got %q, want %q in it", tt.members, text, tt.want)
		}
	}
}

func TestMaxAgeBelowTheSchedule(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		members string
		age     time.Duration
		want    string
	}{
		{``, 0, ""},
		{``, 7 * 24 * time.Hour, ""},
		{``, 24 * time.Hour, "the default schedule lasts 30h21m"},
		{`,"retry":{"schedule":["PT1M"]}`, time.Minute, "it lasts 1m6s, but the stream ORDERS keeps events for 1m only"},
		{`,"retry":{"schedule":["PT1M"]}`, time.Hour, ""},
		{`,"retry":{"schedule":[]}`, time.Minute, ""},
	} {
		s, problems := Parse("acme", []byte(`{"targetURL":"https://erp.example.com/"`+tt.members+`}`), Policy{})
		if s == nil {
			t.Fatal(problems)
		}
		got := s.CheckMaxAge("ORDERS", tt.age)
		switch {
		case tt.want == "" && len(got) == 0:
		case tt.want == "" || len(got) != 1 || !got[0].Warning || !strings.Contains(got[0].String(), tt.want) || !strings.Contains(got[0].String(), "nats stream edit ORDERS --max-age"):
			t.Errorf("%s under %s: got %v", tt.members, tt.age, got)
		}
	}
}
