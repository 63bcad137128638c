package api

import (
	"strings"
	"testing"

	"orderbridge/bridge/record"
)

// What an update leaves out of a record's secrets stays, but goes nowhere else.
func TestKeepSecrets(t *testing.T) {
	t.Parallel()
	const old = `{"targetURL":"https://h/a","key":"k","secret":"s","signing":{"secrets":["x","w"],"formerUntil":"2026-01-02T15:04:05Z"},"headers":{"x-key":"h"},
		"auth":{"type":"client_credential","clientID":"c","clientSecret":"cs","tokenURL":"https://t/a"},"tls":{"keyFile":"f","keyPassword":"p"}}`
	const elsewhere = "leads to another host now"
	for _, tt := range []struct{ name, given, want, problems string }{
		{"left out", `{"targetURL":"https://h/b"}`, `{"targetURL":"https://h/b","key":"k","secret":"s","signing":{"secrets":["x","w"],"formerUntil":"2026-01-02T15:04:05Z"}}`, ""},
		{"signing as shown", `{"targetURL":"https://h/b","key":null,"secret":null,"signing":{"formerUntil":"2026-01-02T15:04:05Z"}}`,
			`{"targetURL":"https://h/b","signing":{"formerUntil":"2026-01-02T15:04:05Z","secrets":["x","w"]}}`, ""},
		{"signing by place", `{"targetURL":"https://h/b","key":null,"secret":null,"signing":{"secrets":["[redacted]","new"]}}`,
			`{"targetURL":"https://h/b","signing":{"secrets":["x","new"]}}`, ""},
		{"signing beyond", `{"targetURL":"https://h/b","key":null,"secret":null,"signing":{"secrets":["a","b","[redacted]"]}}`,
			`{"targetURL":"https://h/b","signing":{"secrets":["a","b","[redacted]"]}}`,
			"signing.secrets: [2] is [redacted], and there is none to keep"},
		{"signing elsewhere", `{"targetURL":"https://other/","key":null,"secret":null,"signing":{"secrets":["[redacted]"]}}`,
			`{"targetURL":"https://other/","signing":{"secrets":["[redacted]"]}}`,
			"signing.secrets: [0] is [redacted], and targetURL " + elsewhere},
		{"as shown", `{"targetURL":"https://h/b","key":"[redacted]","headers":{"X-Key":"[redacted]","X-B":"b"},"secret":null,"signing":null}`,
			`{"targetURL":"https://h/b","key":"k","headers":{"X-Key":"h","X-B":"b"}}`, ""},
		{"within", `{"targetURL":"https://h/","key":null,"secret":null,"signing":null,"auth":{"type":"client_credential","tokenURL":"https://t/b"},"tls":{}}`,
			`{"targetURL":"https://h/","auth":{"type":"client_credential","tokenURL":"https://t/b","clientSecret":"cs"},"tls":{"keyPassword":"p"}}`, ""},
		{"another token server", `{"targetURL":"https://h/","key":"1","secret":"2","signing":"3","auth":{"type":"client_credential","tokenURL":"https://other/"}}`,
			`{"targetURL":"https://h/","key":"1","secret":"2","signing":"3","auth":{"type":"client_credential","tokenURL":"https://other/"}}`,
			"auth.clientSecret: is left out, and tokenURL " + elsewhere},
		{"another kind", `{"targetURL":"https://h/","key":"1","secret":"2","signing":"3","auth":{"type":"bearer","token":"[redacted]"}}`,
			`{"targetURL":"https://h/","key":"1","secret":"2","signing":"3","auth":{"type":"bearer","token":"[redacted]"}}`,
			"auth.token: is [redacted], and there is none to keep"},
		{"elsewhere", `{"targetURL":"https://other/","tls":{},"headers":{"X-Key":"[redacted]"},"auth":{"type":"client_credential","tokenURL":"https://t/"}}`,
			`{"targetURL":"https://other/","tls":{},"headers":{"X-Key":"[redacted]"},"auth":{"type":"client_credential","tokenURL":"https://t/"}}`,
			"key, secret, signing, auth.clientSecret, tls.keyPassword, headers.X-Key"},
	} {
		given, err := readObject([]byte(tt.given))
		before, err2 := readObject([]byte(old))
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		problems := keepSecrets(&given, before)
		if got := string(given.bytes()); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
		if got := problems.Error(); !strings.Contains(got, tt.problems) && fieldsOf(problems) != tt.problems || (tt.problems == "") != (got == "") {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.problems)
		}
	}
}

func fieldsOf(problems record.Problems) string {
	var fields []string
	for _, p := range problems {
		fields = append(fields, p.Field)
	}
	return strings.Join(fields, ", ")
}
