package record

import (
	"strings"
	"testing"
)

func TestRedactRecordShowsOnlyWhatIsKnownToBeOpen(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	record := `{"id":"a","targetURL":"https://h/a?b=c&d&e=constant&id={orderId}","auth":{"type":"basic","username":"u","password":"hunter2","passwrod":"hunter2"},
		"key":"hunter2","secret":"env:ORDERBRIDGE_SECRET_X","signing":{"secrets":["hunter2","env:ORDERBRIDGE_SECRET_Y","env:hunter2"],"formerUntil":"2026-01-02T15:04:05Z","former":"hunter2"},"headers":{"X-Api-Key":"hunter2"},
		"tls":{"keyFile":"k.pem","keyPassword":"hunter2"},"maxInFlight":1.50,"labels":{"a":"b"},"passwrod":"hunter2","auth2":{"password":["hunter2"]}}`
	for _, tt := range []struct {
		how  Redaction
		want string
	}{
		{Redaction{}, `{"id":"a","targetURL":"https://h/a?b=c&d&e=constant&id={orderId}","auth":{"type":"basic","username":"u","password":"[redacted]","passwrod":"[redacted]"},` +
			`"key":"[redacted]","secret":"[redacted]","signing":{"secrets":"[redacted]","formerUntil":"2026-01-02T15:04:05Z","former":"[redacted]"},"headers":{"X-Api-Key":"[redacted]"},` +
			`"tls":{"keyFile":"k.pem","keyPassword":"[redacted]"},"maxInFlight":1.50,"labels":{"a":"b"},"passwrod":"[redacted]","auth2":"[redacted]"}`},
		{Redaction{References: true, URLs: true}, `{"id":"a","targetURL":"https://h/a?b=[redacted]&d&e=[redacted]&id={orderId}","auth":{"type":"basic","username":"u","password":"[redacted]","passwrod":"[redacted]"},` +
			`"key":"[redacted]","secret":"env:ORDERBRIDGE_SECRET_X","signing":{"secrets":["[redacted]","env:ORDERBRIDGE_SECRET_Y","[redacted]"],"formerUntil":"2026-01-02T15:04:05Z","former":"[redacted]"},"headers":{"X-Api-Key":"[redacted]"},` +
			`"tls":{"keyFile":"k.pem","keyPassword":"[redacted]"},"maxInFlight":1.50,"labels":{"a":"b"},"passwrod":"[redacted]","auth2":{"password":["[redacted]"]}}`},
	} {
		got, err := RedactRecord([]byte(record), tt.how)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != tt.want {
			t.Errorf("%+v:\n got %s\nwant %s", tt.how, got, tt.want)
		}
	}
	for _, bad := range []string{`{"secret":"hunter2`, `["hunter2"]`, `"hunter2"`, ``} {
		if got, err := RedactRecord([]byte(bad), Redaction{References: true}); err == nil || strings.Contains(err.Error(), secret) || got != nil {
			t.Errorf("%s: got %s, %v", bad, got, err)
		}
	}
	got, err := RedactRecord([]byte(`{"targetURL":"https://u:hunter2@h/","auth":"hunter2","headers":"hunter2","tls":["hunter2"]}`), Redaction{})
	if err != nil || strings.Contains(string(got), secret) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestWhatShouldBeAURLAndIsNoneIsNotShown(t *testing.T) {
	t.Parallel()
	for value, shown := range map[string]bool{
		`"https://h.example:8443/x"`: true, `"HTTP://[::1]:80"`: true, `"ftp://h?x"`: true, `""`: true, `null`: true, `7`: true,
		`"https:u:hunter2@h/x"`: false, `"https:/u:hunter2@h/x"`: false, `"u:hunter2@h/x"`: false, `"//u:hunter2@h/x"`: false,
		`"https://u:hunter2/x@h/"`: false, `"https://u:hunter2?x@h/"`: false, `"https://u:hunter2#x@h/"`: false, `"https:\\\\u:hunter2@h"`: false,
		`["https://u:hunter2@h/"]`: false, `{"a":"https://u:hunter2@h/"}`: false,
	} {
		for _, urls := range []bool{true, false} {
			rec := []byte(`{"targetURL":` + value + `,"auth":{"type":"client_credential","tokenURL":` + value + `}}`)
			got, err := RedactRecord(rec, Redaction{References: true, URLs: urls})
			if err != nil {
				t.Fatal(err)
			}
			if all := string(got) == string(rec); all != shown {
				t.Errorf("%s: got %s", value, got)
			}
			for _, d := range append(Differences(nil, rec), Differences(rec, nil)...) {
				if text := string(d.Before) + string(d.After); strings.Contains(text, "hunter2") {
					t.Errorf("%s: the difference is %s: %s", value, d.Member, text)
				}
			}
			if strings.Contains(string(got), "hunter2") {
				t.Errorf("%s: got %s", value, got)
			}
		}
	}
}

func TestBeyondNamesTheFiltersThatNothingCovers(t *testing.T) {
	t.Parallel()
	confines := []string{"orders.acme.>"}
	for _, tt := range []struct {
		subjects []string
		want     string
	}{
		{nil, ">"},
		{[]string{"orders.acme.>"}, ""},
		{[]string{"orders.acme.*.4711", "orders.acme.OrderAccepted.>"}, ""},
		{[]string{"orders.*.>"}, "orders.*.>"},
		{[]string{"orders.acme"}, "orders.acme"},
		{[]string{"orders.acme.x", "orders.beta.x", "orders.>"}, "orders.beta.x,orders.>"},
	} {
		if got := strings.Join((&Subscription{Subjects: tt.subjects}).Beyond(confines), ","); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.subjects, got, tt.want)
		}
	}
	if got := (&Subscription{Subjects: []string{"a"}}).Beyond(nil); len(got) != 1 {
		t.Errorf("no filter covers nothing: got %v", got)
	}
}
