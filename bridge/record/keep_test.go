package record

import (
	"strings"
	"testing"
)

// What a file does not tell of what is stored stays, but goes nowhere else.
func TestKeepShown(t *testing.T) {
	t.Parallel()
	const stored = `{"id":"a","createdAt":"2026-01-01T00:00:00Z","targetURL":"https://h/orders/T0Kenn?key=hunter2","status":"deactivated","key":"k1",
		"headers":{"x-key":"h1","X-Plain":"p"},"signing":{"secrets":["sealed:eA","s1","s2"]},
		"auth":{"type":"client_credential","clientID":"c","clientSecret":"cs","tokenURL":"https://t/a"}}`
	const kept = `,"status":"deactivated","createdAt":"2026-01-01T00:00:00Z"}`
	for _, tt := range []struct{ name, given, want, problem string }{
		{"as shown", `{"targetURL":"https://h/orders/…?key=[redacted]","key":"[redacted]","headers":{"X-Key":"[redacted]"}}`,
			`{"targetURL":"https://h/orders/T0Kenn?key=hunter2","key":"k1","headers":{"X-Key":"h1"}` + kept, ""},
		{"left out is gone", `{"targetURL":"https://h/b"}`, `{"targetURL":"https://h/b"` + kept, ""},
		{"its own status", `{"targetURL":"https://h/b","status":"active"}`,
			`{"targetURL":"https://h/b","status":"active","createdAt":"2026-01-01T00:00:00Z"}`, ""},
		{"the same host", `{"targetURL":"https://H:443/b","key":"[redacted]"}`, `{"targetURL":"https://H:443/b","key":"k1"` + kept, ""},
		{"another host", `{"targetURL":"https://other/b","key":"[redacted]"}`, "", "key: is [redacted], and targetURL leads to another host now"},
		{"another token server", `{"targetURL":"https://h/b","auth":{"type":"client_credential","clientID":"c","clientSecret":"[redacted]","tokenURL":"https://evil/a"}}`,
			"", "auth.clientSecret: is [redacted], and auth.tokenURL leads to another host now"},
		{"another kind", `{"targetURL":"https://h/b","auth":{"type":"bearer","token":"[redacted]"}}`, "", "auth.token: is [redacted], and there is none to keep"},
		{"no such header", `{"targetURL":"https://h/b","headers":{"X-New":"[redacted]"}}`, "", "headers.X-New: is [redacted], and there is none to keep"},
		{"a list", `{"targetURL":"https://h/b","signing":{"secrets":["new","[redacted]","env:A","[redacted]"]}}`,
			`{"targetURL":"https://h/b","signing":{"secrets":["new","s1","env:A","s2"]}` + kept, ""},
		{"some of a list", `{"targetURL":"https://h/b","signing":{"secrets":["[redacted]"]}}`, "", "signing.secrets: holds [redacted] for some of the secrets"},
		{"all of an object", `{"targetURL":"https://h/b","signing":"[redacted]"}`, `{"targetURL":"https://h/b","signing":{"secrets":["sealed:eA","s1","s2"]}` + kept, ""},
		{"an invented URL", `{"targetURL":"https://h/other/…"}`, "", "targetURL: holds [redacted] or … for a part that is not shown"},
		{"not JSON", `{`, `{`, ""},
	} {
		got, problems := KeepShown([]byte(tt.given), []byte(stored))
		if tt.problem == "" && (problems != nil || string(got) != tt.want) {
			t.Errorf("%s: got %s, %v\nwant %s", tt.name, got, problems, tt.want)
		}
		if tt.problem != "" && (len(problems) != 1 || !strings.HasPrefix(problems.Error(), tt.problem)) {
			t.Errorf("%s: got %v, want %s", tt.name, problems, tt.problem)
		}
	}
	if _, problems := KeepShown([]byte(`{"targetURL":"https://h/","key":"[redacted]"}`), nil); problems.Err() == nil {
		t.Error("a mark that stands for nothing is taken for a secret")
	}
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, after, want string }{
		{`{"id":"a","method":"PUT","maxInFlight":4,"createdAt":"x"}`, `{"maxInFlight":4.0,"method":"PUT"}`, ``},
		{`{"labels":{"a":"1","b":"2"}}`, `{"labels":{"b":"3","c.d":"4"}}`, `labels.a 1>; labels.b 2>3; labels.c.d >4`},
		{`{"subjects":["a","b"]}`, `{"subjects":["b","a"]}`, `subjects ["a","b"]>["b","a"]`},
		{`{"key":"hunter2"}`, `{"key":"hunter3"}`, `key! [redacted]>[redacted]`},
		{`{"key":"hunter2"}`, `{"key":"env:ORDERBRIDGE_SECRET_A"}`, `key! [redacted]>env:ORDERBRIDGE_SECRET_A`},
		{`{"headers":{"X-A":"hunter2","X-B":"b"}}`, `{"headers":{"X-B":"b","X-C":"hunter2"}}`, `headers.X-A! [redacted]>; headers.X-C! >[redacted]`},
		{`{"auth":{"type":"basic","username":"u","password":"hunter2"}}`, `{"auth":{"type":"bearer","token":"hunter2"}}`,
			`auth.type basic>bearer; auth.username u>; auth.password! [redacted]>; auth.token! >[redacted]`},
		{`{"signing":{"secrets":["hunter2"]}}`, `{"signing":{"secrets":["hunter3","sealed:eA"]}}`, `signing.secrets! ["[redacted]"]>["[redacted]","sealed:eA"]`},
		{`{"signing":{"secrets":["sealed:eA"]}}`, `{"signing":{"secrets":["sealed:eA"],"formerUntil":"2026-01-02T15:04:05Z"}}`, `signing.formerUntil >2026-01-02T15:04:05Z`},
		{`{"targetURL":"https://h/a?t=hunter2"}`, `{"targetURL":"https://h/a?t=hunter3"}`, `targetURL https://h/a?t=[redacted]>https://h/a?t=[redacted]`},
		{`{"unknown":"hunter2"}`, `{"auth":"hunter2"}`, `auth! >[redacted]; unknown! [redacted]>`},
		{``, `{"method":"PUT"}`, `method >PUT`},
	} {
		var got []string
		for _, d := range Differences([]byte(tt.before), []byte(tt.after)) {
			name := d.Member
			if d.Secret {
				name += "!"
			}
			got = append(got, name+" "+strings.Trim(string(d.Before), `"`)+">"+strings.Trim(string(d.After), `"`))
		}
		if text := strings.Join(got, "; "); text != tt.want {
			t.Errorf("%s\n-> %s\n got %s\nwant %s", tt.before, tt.after, text, tt.want)
		}
	}
}

// An export holds no secret, is the same for the same record however its members
// stand, and is what is stored once it is read back.
func TestExportedIsStableAndReadBack(t *testing.T) {
	t.Parallel()
	const one = `{"targetURL":"https://h/orders/T0Kenn/x","headers":{"X-B":"hunter2","X-A":"env:ORDERBRIDGE_SECRET_A"},"labels":{"z":"1","a":"2"},"auth":{"password":"hunter2","type":"basic","username":"u"},"filter":"a == \"<b>\""}`
	const two = `{"updatedAt":"x","filter":"a == \"<b>\"","labels":{"a":"2","z":"1"},"auth":{"username":"u","type":"basic","password":"hunter2"},"id":"i","headers":{"X-A":"env:ORDERBRIDGE_SECRET_A","X-B":"hunter2"},"targetURL":"https://h/orders/T0Kenn/x"}`
	a, err := Exported([]byte(one), false)
	b, err2 := Exported([]byte(two), false)
	if err != nil || err2 != nil || string(a) != string(b) {
		t.Fatalf("%v, %v\n%s\n%s", err, err2, a, b)
	}
	if strings.Contains(string(a), "hunter2") || strings.Contains(string(a), "T0Kenn") {
		t.Errorf("shows a secret: %s", a)
	}
	back, problems := KeepShown(a, []byte(two))
	if d := Differences([]byte(two), back); problems != nil || len(d) > 0 {
		t.Errorf("read back: %v, %v", problems, d)
	}
	if open, err := Exported([]byte(one), true); err != nil || !strings.Contains(string(open), "T0Kenn") {
		t.Errorf("%s, %v", open, err)
	}
	for _, bad := range []string{`[]`, `{"a":1,"a":2}`, `{`} {
		if _, err := Exported([]byte(bad), false); err == nil {
			t.Errorf("%s is exported", bad)
		}
	}
}
