package record

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// paceMembers say when requests are made, how many at once, and how long each may take.
func paceMembers() []member {
	const attempt, least = limits.RecordAttemptTime, limits.RecordLeastTimeout
	return []member{
		{
			name:    "connectionTimeout",
			value:   keep(duration(attempt, least), func(r *recordReader, d time.Duration) { r.more().ConnectionTimeout = d }),
			initial: DefaultConnectTimeout,
			about:   "Bounds dial and TLS handshake; at most 10 minutes.",
			example: `"PT5S" or "5s"`,
		},
		{
			name:    "timeout",
			value:   keep(duration(attempt, least), func(r *recordReader, d time.Duration) { r.more().Timeout = d }),
			initial: defaultAttemptTimeout,
			about:   "Bounds a whole attempt; at most 10 minutes.",
			example: `"PT10S" or "10s"`,
		},
		{
			name:    "retry",
			value:   nested("retry", nil, retryMembers),
			about:   "When a failed delivery is tried again.",
			example: `{"schedule":["PT5S","PT1M","PT1H"]}`,
			also:    "retries retryschedule backoff",
		},
		{
			name:    "ordering",
			value:   keep(oneOf(orderings...), (*recordReader).ordering),
			initial: orderings[event.OrderingOrder],
			about:   "Which events wait for one another: those of one order, none, all.",
			example: `"order"`,
		},
		{
			name:    "coalesce",
			value:   keep(boolean, func(r *recordReader, b bool) { r.s.Coalesce = b }),
			initial: false,
			about: "While an order waits, send only its newest event. Needs method GET or payload " +
				strings.Join(newestOnly, " or ") + ".",
			example: `true`,
		},
		{
			name:    "maxInFlight",
			value:   keep(whole(limits.RecordInFlight), func(r *recordReader, n int) { r.s.MaxInFlight = n }),
			initial: DefaultMaxInFlight,
			about:   "Requests at once.",
			example: `16`,
			also:    "concurrency parallel",
		},
		{
			name:    "rateLimit",
			value:   nested("rateLimit", func(r *recordReader) { r.more().RateLimit = &RateLimit{Per: time.Second} }, rateMembers),
			about:   "The most requests that may start within a time, at most an hour.",
			example: `{"requests":100,"per":"PT1S"}`,
		},
	}
}

// retryMembers are the members of retry.
var retryMembers = []member{{
	name: "schedule", value: value{
		schema: fragment{{"type", "array"}, {"maxItems", limits.RecordList}, {"items", ref("duration")}},
		read:   (*recordReader).schedule,
	},
	about: "The waits between attempts, from 1 s to 30 days each, with a jitter of 10 %; " +
		"a shorter one is raised, with a warning. After the last the delivery becomes a dead letter; an empty list means no retries.",
	initial: defaultSchedule,
	example: `["PT5S","PT1M","PT1H"]`, also: "intervals",
}}

// rateMembers are the members of rateLimit.
var rateMembers = []member{
	{
		name:     "requests",
		value:    keep(whole(limits.RecordRate), func(r *recordReader, n int) { r.s.More.RateLimit.Requests = n }),
		also:     "limit",
		required: `is missing; give the number of requests, as in {"requests":100,"per":"PT1S"}`,
	},
	{
		name:    "per",
		value:   keep(duration(limits.RecordRateTime, 0), func(r *recordReader, d time.Duration) { r.s.More.RateLimit.Per = d }),
		initial: time.Second,
		example: `"PT1S" or "1s"`,
	},
}

func (r *recordReader) schedule(field string, v gjson.Result) {
	if !r.is(field, v, "an array") {
		return
	}
	waits := []time.Duration{}
	v.ForEach(func(_, v gjson.Result) bool {
		field := field + "[" + strconv.Itoa(len(waits)) + "]"
		waits = append(waits, r.atLeast(field, v, r.duration(field, v, limits.RecordWait), r.leastWait()))
		return len(waits) <= limits.RecordList
	})
	if len(waits) > limits.RecordList {
		r.fail(field, "has more than %d entries", limits.RecordList)
	}
	r.more().Schedule = slices.Clip(waits)
}

// orderings are the names of Ordering.
var orderings = []string{event.OrderingOrder: "order", event.OrderingNone: "none", event.OrderingStrict: "strict"}

func (r *recordReader) ordering(name string) {
	for o, n := range orderings {
		if n == name {
			r.s.Ordering = event.Ordering(o)
		}
	}
}
