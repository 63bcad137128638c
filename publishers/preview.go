package publishers

import (
	"bytes"
	"encoding/base64"
	"time"
	"unicode/utf8"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/publishers/http1"
)

// Preview makes the request of an attempt as it would be made now, and shows it,
// with so many bytes of its body. It reads what the record refers to, and sends
// nothing. The error is what the attempt's would be, a *bridge.AttemptError.
func (w *Webhook) Preview(d *protocol.Delivery, body int) (*bridge.Request, error) {
	e, r, err := w.prepare(d, w.options.Now())
	if err != nil {
		return nil, err
	}
	return e.preview(d, &r, body), nil
}

// prepare makes the request of an attempt; the error is a *bridge.AttemptError.
func (w *Webhook) prepare(d *protocol.Delivery, now time.Time) (*endpoint, request, error) {
	fail := func(fault bridge.Fault, err error) (*endpoint, request, error) {
		return nil, request{}, &bridge.AttemptError{Fault: fault, Reason: err.Error(), Err: err}
	}
	e, err := w.endpoint(d.Subscription)
	if err != nil {
		return fail(bridge.FaultConfig, err)
	}
	if e.target.scheme == "http" && !w.options.AllowHTTP && !w.options.Dev {
		return fail(bridge.FaultConfig, errPlainHTTP)
	}
	r, err := e.render(d, w.userAgent, now)
	if err != nil {
		return fail(bridge.FaultRender, err)
	}
	r.connect = d.Subscription.ConnectTimeout()
	return e, r, nil
}

// preview is a request as people may see it: what the record keeps secret is
// "[redacted]", each signature "[signature]", a token "[token]"; of the URL what
// record.ShownURL leaves.
func (e *endpoint) preview(d *protocol.Delivery, r *request, body int) *bridge.Request {
	out := &bridge.Request{Method: r.method, URL: e.shownURL(d.Subscription, d.Event), Bytes: len(r.body)}
	fields := r.fields
	if e.token != nil {
		fields = with(fields, http1.Field{Name: "Authorization"})
	}
	for _, f := range fields {
		value := e.shownField(f)
		if d.Event.Seq == 0 && !d.Test && (f.Name == "Webhook-Id" || f.Name == "Idempotency-Key") {
			value = "[delivery id]" // made of what the bus stores
		}
		out.Headers = append(out.Headers, bridge.AttemptHeader{Name: f.Name, Value: value})
	}
	text := r.body
	if e.bodyKey != "" {
		text = bytes.Replace(text, []byte(e.bodyKey), []byte("[redacted]"), 1)
	}
	text = text[:min(len(text), max(body, 0))]
	out.BodyCut = len(text) < len(r.body)
	for cut := 0; out.BodyCut && cut < utf8.UTFMax && len(text) > 0 && !utf8.Valid(text); cut++ {
		text = text[:len(text)-1] // of a letter that was cut in two
	}
	if utf8.Valid(text) {
		out.Body = string(text)
	} else {
		out.Body, out.Encoding = base64.StdEncoding.EncodeToString(text), "base64"
	}
	return out
}
