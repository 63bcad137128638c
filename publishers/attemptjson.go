package publishers

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/safetext"
)

// ParseAttempt reads an entry of the delivery log as it lies in its stream.
func ParseAttempt(data []byte) (bridge.Attempt, error) {
	var a bridge.Attempt
	if err := json.Unmarshal(data, &a); err != nil {
		return bridge.Attempt{}, fmt.Errorf("parse entry of the delivery log: %w", err)
	}
	return a, nil
}

// appendAttempt writes an entry as encoding/json would, which takes ten times as
// long and allocates. Times are cut to milliseconds, but that of the event.
func appendAttempt(b []byte, a *bridge.Attempt) []byte {
	begin := len(b)
	o := object{b: append(b, '{')}
	o.time("time", a.Time.Truncate(time.Millisecond))
	o.text("subscription", a.Subscription)
	o.number("generation", a.Generation)
	o.text("tenant", a.Tenant)
	o.text("order", a.Order)
	o.number("sequence", a.Sequence)
	o.time("published", a.Published)
	o.text("eventId", a.EventID)
	o.text("publisherEventId", a.PublisherID)
	o.text("eventType", a.EventType)
	o.text("deliveryId", a.DeliveryID)
	o.number("attempt", uint64(max(a.Attempt, 0)))
	o.text("kind", a.Kind)
	o.text("outcome", a.Outcome)
	o.number("status", uint64(max(a.Status, 0)))
	o.text("reason", a.Reason)
	if r := a.Request; r != nil {
		o.name("request")
		o.request(r)
	}
	if r := a.Response; r != nil {
		o.name("response")
		o.response(r)
	}
	if t := a.Timings; t != nil {
		o.name("timings")
		o.timings(t)
	}
	o.time("next", a.Next.Truncate(time.Millisecond))
	o.text("traceId", a.TraceID)
	o.name("shard")
	o.b = strconv.AppendInt(o.b, int64(a.Shard), 10)
	o.text("replica", a.Replica)
	b = append(o.b, '}')
	if safe := safetext.JSON(b[begin:]); len(safe) != len(b)-begin {
		b = append(b[:begin], safe...)
	}
	return b
}

// object is a JSON object that is being written. Members that say nothing are left out.
type object struct{ b []byte }

func (o *object) name(name string) {
	if o.b[len(o.b)-1] != '{' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, '"'), name...), `":`...)
}

func (o *object) text(name, value string) {
	if value != "" {
		o.name(name)
		o.b = event.AppendJSONString(o.b, value)
	}
}

func (o *object) number(name string, n uint64) {
	if n != 0 {
		o.name(name)
		o.b = strconv.AppendUint(o.b, n, 10)
	}
}

func (o *object) size(name string, n int) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, int64(n), 10)
}

func (o *object) time(name string, t time.Time) {
	if !t.IsZero() {
		o.name(name)
		o.b = append(t.UTC().AppendFormat(append(o.b, '"'), time.RFC3339Nano), '"')
	}
}

// millis writes milliseconds with up to three decimals.
func (o *object) millis(name string, ms float64, always bool) {
	if ms == 0 && !always {
		return
	}
	o.name(name)
	micros := int64(ms*1000 + 0.5)
	o.b = strconv.AppendInt(o.b, micros/1000, 10)
	if rest := micros % 1000; rest != 0 {
		o.b = append(o.b, '.', byte('0'+rest/100), byte('0'+rest/10%10), byte('0'+rest%10))
	}
}

func (o *object) headers(h bridge.AttemptHeaders) {
	if len(h) == 0 {
		return
	}
	o.name("headers")
	o.b = append(o.b, '{')
	for i := range h {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(event.AppendJSONString(o.b, h[i].Name), ':')
		o.b = event.AppendJSONString(o.b, h[i].Value)
	}
	o.b = append(o.b, '}')
}

func (o *object) request(r *bridge.AttemptRequest) {
	o.b = append(o.b, '{')
	o.text("method", r.Method)
	o.text("url", r.URL)
	o.headers(r.Headers)
	o.size("bytes", r.Bytes)
	o.b = append(o.b, '}')
}

func (o *object) response(r *bridge.AttemptResponse) {
	o.b = append(o.b, '{')
	o.headers(r.Headers)
	o.text("excerpt", r.Excerpt)
	o.size("bytes", r.Bytes)
	o.b = append(o.b, '}')
}

func (o *object) timings(t *bridge.AttemptTimings) {
	o.b = append(o.b, '{')
	o.millis("dns", t.DNS, false)
	o.millis("connect", t.Connect, false)
	o.millis("tls", t.TLS, false)
	o.millis("firstByte", t.FirstByte, false)
	o.millis("total", t.Total, true)
	o.b = append(o.b, '}')
}
