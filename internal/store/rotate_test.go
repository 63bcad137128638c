package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A rotation writes one member, and leaves all else as it stands.
func TestWithSecret(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const record = `{ "targetURL": "https://h/",  "signing":{"secrets":["whsec_b","whsec_a"],"formerUntil":"2026-01-01T00:00:00Z"} }`
	for _, tt := range []struct {
		name, record, want string
		q                  RotateRequest
	}{
		{"none before", `{"targetURL":"https://h/"}`, `{"signing":{"secrets":["whsec_c"]},"targetURL":"https://h/"}`, RotateRequest{Secret: "whsec_c", KeepOld: "24h"}},
		{"beside it", record, `{ "targetURL": "https://h/",  "signing":{"secrets":["whsec_c","whsec_b"]} }`, RotateRequest{Secret: "whsec_c"}},
		{"for a day", record, `{ "targetURL": "https://h/",  "signing":{"secrets":["whsec_c","whsec_b"],"formerUntil":"2026-01-03T03:04:06Z"} }`,
			RotateRequest{Secret: "whsec_c", KeepOld: "P1D"}},
		{"revoked", record, `{ "targetURL": "https://h/",  "signing":{"secrets":["whsec_c"]} }`, RotateRequest{Secret: "whsec_c", RevokeOld: true}},
		{"the same again", record, `{ "targetURL": "https://h/",  "signing":{"secrets":["whsec_b"]} }`, RotateRequest{Secret: "whsec_b", KeepOld: "1h"}},
		{"a reference", record, `{ "targetURL": "https://h/",  "signing":{"secrets":["file:a&b","whsec_b"]} }`, RotateRequest{Secret: "file:a&b"}},
		{"one signature", `{"secret":"s","key":"k"}`, `{"secret":"t","key":"k"}`, RotateRequest{Secret: "t"}},
	} {
		got, answer, err := WithSecret([]byte(tt.record), tt.q, now)
		if err != nil || string(got) != tt.want || answer.Secret != "" {
			t.Errorf("%s: %s, %+v, %v, want %s", tt.name, got, answer, err, tt.want)
		}
		if dated := strings.Contains(tt.want, "formerUntil"); dated != (answer.FormerUntil != nil) {
			t.Errorf("%s: %+v", tt.name, answer)
		}
	}
	got, answer, err := WithSecret([]byte(record), RotateRequest{}, now)
	if err != nil || len(answer.Secret) != 50 || !strings.Contains(string(got), `["`+answer.Secret+`","whsec_b"]`) {
		t.Errorf("got %s, %+v, %v", got, answer, err)
	}
	for _, tt := range []struct {
		record string
		q      RotateRequest
		want   string
	}{
		{`{"secret":"s"}`, RotateRequest{KeepOld: "24h"}, "one signature"},
		{record, RotateRequest{KeepOld: "24h", RevokeOld: true}, "either"},
		{record, RotateRequest{KeepOld: "0s"}, "no time"},
		{record, RotateRequest{KeepOld: "24"}, "no unit"},
		{`{"signing":{},"signing":{}}`, RotateRequest{}, "twice"},
		{`[]`, RotateRequest{}, "not a JSON object"},
	} {
		var no *RefusedError
		if got, _, err := WithSecret([]byte(tt.record), tt.q, now); got != nil || !errors.As(err, &no) || !strings.Contains(no.Reason, tt.want) {
			t.Errorf("%s, %+v: got %s, %v", tt.record, tt.q, got, err)
		}
	}
}
