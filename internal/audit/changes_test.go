package audit

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

func TestChanges(t *testing.T) {
	t.Parallel()
	const before = `{"targetURL":"https://a.example.com/","auth":{"type":"basic","username":"u","password":"PLANTED-1"},"headers":{"X-Key":"PLANTED-2"},"key":"PLANTED-3","filter":"true"}`
	for name, tt := range map[string]struct{ before, after, want string }{
		"new":        {``, `{"targetURL":"https://a.example.com/"}`, `targetURL=>https://a.example.com/`},
		"the same":   {before, before, ``},
		"a password": {before, strings.Replace(before, "PLANTED-1", "PLANTED-9", 1), `auth.password=[redacted]>[redacted]`},
		"a header":   {before, strings.Replace(before, "PLANTED-2", "PLANTED-9", 1), `headers.X-Key=[redacted]>[redacted]`},
		"its end":    {before, strings.Replace(before, `,"key":"PLANTED-3"`, "", 1), `key=[redacted]>`},
		"a query":    {`{"targetURL":"https://a/x?token=PLANTED-4"}`, `{"targetURL":"https://u:PLANTED-5@b/x?token=PLANTED-4"}`, `targetURL=https://a/x?token=[redacted]>https://[redacted]@b/x?token=[redacted]`},
		"misspelled": {`{"passwrd":"PLANTED-6"}`, `{"passwrd":"PLANTED-7"}`, `passwrd=[redacted]>[redacted]`},
		"no JSON":    {before, `PLANTED-8`, `auth.password=[redacted]>;auth.type=basic>;auth.username=u>;filter=true>;headers.X-Key=[redacted]>;key=[redacted]>;targetURL=https://a.example.com/>`},
		"reference":  {`{"secret":"PLANTED-1"}`, `{"secret":"env:ORDERBRIDGE_SECRET_X"}`, `secret=[redacted]>env:ORDERBRIDGE_SECRET_X`},
		"long":       {``, `{"description":"` + strings.Repeat("ä", 200) + `"}`, "description=>" + strings.Repeat("ä", (limits.AuditValueBytes-3)/2) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list, more := changes([]byte(tt.before), []byte(tt.after))
			var got []string
			for _, m := range list {
				got = append(got, m.Name+"="+m.Before+">"+m.After)
			}
			if s := strings.Join(got, ";"); s != tt.want || more != 0 {
				t.Errorf("got %s and %d more, want %s", s, more, tt.want)
			}
		})
	}
	many := map[string]string{}
	for i := range 100 {
		many[fmt.Sprintf("m%03d", i)] = "x"
	}
	body, _ := json.Marshal(many)
	if list, more := changes(nil, body); len(list) != limits.AuditMembers || more != 100-limits.AuditMembers {
		t.Errorf("%d members and %d more", len(list), more)
	}
}

func TestAction(t *testing.T) {
	t.Parallel()
	put := func(s string) protocol.Revision { return protocol.Revision{Value: []byte(s)} }
	gone := protocol.Revision{Deleted: true}
	for want, tt := range map[string]struct {
		before, after protocol.Revision
		known         bool
	}{
		"put":        {after: put(`{}`)},
		"change":     {put(`{}`), put(`{"method":"PUT"}`), true},
		"deactivate": {put(`{}`), put(`{"status":"deactivated"}`), true},
		"activate":   {put(`{"status":"deactivated"}`), put(`{}`), true},
		"pause":      {put(`{}`), put(`{"status":"paused"}`), true},
		"resume":     {put(`{"status":"paused"}`), put(`{"status":"active"}`), true},
		"delete":     {put(`{}`), gone, true},
		"purge":      {put(`{}`), protocol.Revision{Deleted: true, Purged: true}, true},
	} {
		if got := action(tt.before, tt.after, tt.known); got != want {
			t.Errorf("%s: got %s", want, got)
		}
	}
	if got := action(gone, put(`{}`), true); got != "put" {
		t.Errorf("put again: got %s", got)
	}
}

// A record's names and values are its writer's; auditors read the stream as it is.
func TestNothingHidesInAnEntry(t *testing.T) {
	t.Parallel()
	const hidden = "a\u202eb\u0085c\u200bd\x7fe\ufeff"
	body, err := newEntry("1-1", "/x", time.Now(), Data{Text: hidden, Members: []Member{{Name: hidden, After: hidden}}}).encode()
	if err != nil || !json.Valid(body) || strings.ContainsAny(string(body), "\u202e\u0085\u200b\x7f\ufeff") {
		t.Errorf("%q, %v", body, err)
	}
	if got := token("a.b\u202ec\u0085>d"); got != "a_b_c__d" {
		t.Errorf("in a subject: %q", got)
	}
	var back Entry
	if err := json.Unmarshal(body, &back); err != nil || back.Data.Members[0].Name != hidden {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestEntryIsBounded(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("\u0001", 1<<20)
	many := map[string]string{}
	for i := range 10_000 {
		many[fmt.Sprintf("%d%s", i, huge[:100])] = huge[:200]
	}
	value, _ := json.Marshal(map[string]any{"labels": many, "tenant": huge, "description": huge})
	d := Data{Action: "put", Subscription: cut(huge, 128), Tenant: cut(huge, 128)}
	d.Members, d.More = changes(nil, value)
	d.Who = Who{Via: huge, Name: huge, User: huge, Says: huge}
	body, err := newEntry("1-1", "/x", time.Now(), d).encode()
	var e Entry
	switch {
	case err != nil:
		t.Fatal(err)
	case len(body) > entryBytes:
		t.Errorf("%d bytes", len(body))
	case json.Unmarshal(body, &e) != nil || e.Data.Members != nil || e.Data.More < limits.AuditMembers:
		t.Errorf("%.300s", body)
	}
	for _, odd := range []string{"", "a.b", "a b", "*", ">", "\x00", huge} {
		if s := token(odd); s == "" || len(s) > 128 || strings.ContainsAny(s, ".*> \x00") {
			t.Errorf("token of %.20q is %.20q", odd, s)
		}
	}
}

func TestWhoIsNotWhatSomebodySays(t *testing.T) {
	t.Parallel()
	var w Who
	w.say(storeActor("api", "admin"), false)
	w.told(&natsUser{Account: "MANAGERS", User: "manager"})
	if w.Name != "" || w.Via == "api" || w.String() != "NATS user manager of MANAGERS (says: api admin)" {
		t.Errorf("%+v: %s", w, w)
	}
	var known Who
	known.say(storeActor("api", "admin"), true)
	known.told(&natsUser{Account: "ORDERS", User: "bridge"})
	if known.String() != "token admin" || known.User != "" {
		t.Errorf("%+v", known)
	}
}
