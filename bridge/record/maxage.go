package record

import (
	"fmt"
	"strings"
	"time"
)

// retrySpan is how long a schedule lasts, its jitter included.
func retrySpan(schedule []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range schedule {
		sum += d + d/10
	}
	return sum
}

// DefaultRetrySpan is that of a record without a schedule.
func DefaultRetrySpan() time.Duration { return retrySpan(defaultSchedule) }

// CheckMaxAge warns of a retry schedule that lasts longer than the stream keeps
// events; 0: it keeps them for ever.
func (s *Subscription) CheckMaxAge(stream string, maxAge time.Duration) Problems {
	span := retrySpan(s.RetrySchedule())
	if maxAge <= 0 || span <= maxAge {
		return nil
	}
	whose := "the default schedule"
	if s.More != nil && s.More.Schedule != nil {
		whose = "it"
	}
	return Problems{{Field: "retry.schedule", Warning: true, Message: fmt.Sprintf(
		"%s lasts %s, but the stream %s keeps events for %s only: what is still owed then becomes a dead letter before the schedule is used up; give a shorter schedule, or let the operator run `nats stream edit %s --max-age %s`",
		whose, brief(span), stream, brief(maxAge), stream, brief(span.Truncate(24*time.Hour)+48*time.Hour))}}
}

// brief is a duration without the units that are nothing: 28h5m, 168h.
func brief(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
