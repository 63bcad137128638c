package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
)

func TestJudgeEveryStatus(t *testing.T) {
	t.Parallel()
	// What is told here apart from ranges; everything else follows its class.
	endpoint4xx := map[int]bool{401: true, 403: true, 404: true, 408: true, 429: true}
	for status := 100; status <= 599; status++ {
		for _, perOrder := range []bool{false, true} {
			err := fmt.Errorf("publish: %w", &AttemptError{Fault: FaultStatus, Status: status, Reason: "said so", RetryAfter: time.Minute})
			want := protocol.Outcome{Verdict: protocol.Retry, Status: status, Reason: "said so", EndpointFault: status < 400 || status >= 500 || endpoint4xx[status]}
			switch {
			case status >= 200 && status < 300:
				want = protocol.Outcome{Verdict: protocol.Delivered, Status: status}
			case status == 410 && perOrder:
				want.Verdict = protocol.GiveUp
			case status == 410:
				want.Verdict = protocol.SuspendedByReceiver
			case status == 429 || status == 503:
				want.RetryAfter = time.Minute
			}
			if got := Judge(err, perOrder); got != want {
				t.Errorf("status %d, per-order URL %v:\n got %+v\nwant %+v", status, perOrder, got, want)
			}
		}
	}
}

func TestJudgeEveryFault(t *testing.T) {
	t.Parallel()
	fault := func(f Fault) error { return &AttemptError{Fault: f, Reason: "r", RetryAfter: time.Hour} }
	for _, tc := range []struct {
		name string
		err  error
		want protocol.Outcome
	}{
		{"none", nil, protocol.Outcome{Verdict: protocol.Delivered}},
		{"transport", fault(FaultTransport), protocol.Outcome{Verdict: protocol.Retry, Reason: "r", EndpointFault: true}},
		{"config", fault(FaultConfig), protocol.Outcome{Verdict: protocol.Retry, Reason: "r", EndpointFault: true}},
		{"render", fault(FaultRender), protocol.Outcome{Verdict: protocol.GiveUp, Reason: "r"}},
		{"expired", fault(FaultExpired), protocol.Outcome{Verdict: protocol.GiveUp, Reason: "r", Doubt: true, Gone: true}},
		{"source", fault(FaultSource), protocol.Outcome{Verdict: protocol.NotAttempted, Reason: "r"}},
		{"a fault of later days", fault(99), protocol.Outcome{Verdict: protocol.Retry, Reason: "r", EndpointFault: true}},
		{"cut", &AttemptError{Fault: FaultTransport, Reason: "r", Err: ErrCut}, protocol.Outcome{Verdict: protocol.NotAttempted, Reason: "r"}},
		{"cut, bare", ErrCut, protocol.Outcome{Verdict: protocol.NotAttempted, Reason: ErrCut.Error()}},
		{"cancelled", context.Canceled, protocol.Outcome{Verdict: protocol.NotAttempted, Reason: "context canceled"}},
		{"deadline", context.DeadlineExceeded, protocol.Outcome{Verdict: protocol.Retry, Reason: "context deadline exceeded", EndpointFault: true}},
		{"panic caught on our side", errors.New("boom"), protocol.Outcome{Verdict: protocol.Retry, Reason: "boom"}},
		{"Retry-After over a day", &AttemptError{Status: 503, RetryAfter: 48 * time.Hour}, protocol.Outcome{Verdict: protocol.Retry, Status: 503, RetryAfter: 24 * time.Hour, EndpointFault: true}},
		{"Retry-After below zero", &AttemptError{Status: 429, RetryAfter: -1}, protocol.Outcome{Verdict: protocol.Retry, Status: 429, EndpointFault: true}},
	} {
		if got := Judge(tc.err, false); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", tc.name, got, tc.want)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"120":                            2 * time.Minute,
		" 7 ":                            7 * time.Second,
		"86400":                          24 * time.Hour,
		"86401":                          24 * time.Hour,
		"99999999999999999999999":        24 * time.Hour,
		"-5":                             0,
		"1.5":                            0,
		"soon":                           0,
		"Sun, 01 Mar 2026 12:00:30 GMT":  30 * time.Second,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute,
		"Sun Mar  1 12:02:00 2026":       2 * time.Minute,
		"Sun, 01 Mar 2026 11:00:00 GMT":  0,
		"Mon, 01 Mar 2027 12:00:00 GMT":  24 * time.Hour,
	} {
		if got := ParseRetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"", "1", "-1", "1e9", now.Format(http.TimeFormat), "18446744073709551616", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := ParseRetryAfter(s, now); d < 0 || d > 24*time.Hour {
			t.Errorf("%q: %v is out of bounds", s, d)
		}
	})
}
