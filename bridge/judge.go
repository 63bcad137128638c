package bridge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// ErrCut is the cause with which an attempt's context is cancelled when we
// ourselves cut it off: a shutdown, a lost lease. Such an attempt is not
// counted.
var ErrCut = errors.New("cut off by our own stop")

// Judge says what the result of an attempt means; nothing else in the program
// does. perOrderURL (Subscription.PerOrderURL) tells whether a 410 speaks of
// one order or of the whole endpoint.
//
// An error that is not an *AttemptError is a retry: it came from our own side, so
// it counts for the breaker only if it was a timeout. A context that we
// cancelled, with ErrCut or otherwise, is not an attempt.
func Judge(err error, perOrderURL bool) protocol.Outcome {
	if err == nil {
		return protocol.Outcome{Verdict: protocol.Delivered}
	}
	if errors.Is(err, ErrCut) {
		return protocol.Outcome{Verdict: protocol.NotAttempted, Reason: err.Error()}
	}
	var a *AttemptError
	if !errors.As(err, &a) {
		if errors.Is(err, context.Canceled) {
			return protocol.Outcome{Verdict: protocol.NotAttempted, Reason: err.Error()}
		}
		return protocol.Outcome{Verdict: protocol.Retry, Reason: err.Error(),
			EndpointFault: errors.Is(err, context.DeadlineExceeded)}
	}
	o := protocol.Outcome{Verdict: protocol.Retry, Status: a.Status, Reason: a.Reason, Detail: a.Detail,
		Unreachable: a.Unreachable}
	switch a.Fault {
	case FaultStatus:
		judgeStatus(&o, a.RetryAfter, perOrderURL)
	case FaultRender:
		o.Verdict = protocol.GiveUp
	case FaultExpired:
		o.Verdict, o.Doubt, o.Gone = protocol.GiveUp, true, true
	case FaultSource, FaultLocal:
		o.Verdict = protocol.NotAttempted
	case FaultTransport, FaultConfig:
		// A record that cannot be used fails for each of its events alike.
		o.EndpointFault = true
	default:
		o.EndpointFault = true
	}
	return o
}

func judgeStatus(o *protocol.Outcome, retryAfter time.Duration, perOrderURL bool) {
	o.EndpointFault = !speaksOfEvent(o.Status)
	switch {
	case o.Status >= 200 && o.Status < 300:
		// A publisher that reports a success as a failure is mended here.
		*o = protocol.Outcome{Verdict: protocol.Delivered, Status: o.Status}
	case o.Status == http.StatusGone && perOrderURL:
		o.Verdict = protocol.GiveUp
	case o.Status == http.StatusGone:
		o.Verdict = protocol.SuspendedByReceiver
	case o.Status == http.StatusTooManyRequests, o.Status == http.StatusServiceUnavailable:
		o.RetryAfter = min(max(retryAfter, 0), limits.RetryAfter)
	}
}

// speaksOfEvent reports whether an answer is about the event that was sent and
// says nothing about the next one.
func speaksOfEvent(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}

// ParseRetryAfter reads a Retry-After header, which holds seconds or an HTTP
// date. It returns at most 24 h, and 0 if the value is empty, past or neither.
func ParseRetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseUint(value, 10, 64)
		if err != nil || seconds > uint64(limits.RetryAfter/time.Second) {
			return limits.RetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), limits.RetryAfter)
}
