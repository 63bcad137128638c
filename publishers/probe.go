package publishers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// Probe asks whether an endpoint answers: one HEAD request to exactly that URL,
// through the guard, the trust and the transport of the deliveries. Any answer
// is good, whatever its status; redirects are not followed. Otherwise the error
// is a *bridge.AttemptError, with FaultConfig where the operator's policy
// forbids to ask, or wraps bridge.ErrCut if ctx was cancelled. A tenant, "" for
// none, learns of an internal network only that there was no answer, and always
// after the same time.
func (w *Webhook) Probe(ctx context.Context, tenant, target string) error {
	if w.closed.Load() {
		return fmt.Errorf("webhook publisher is closed: %w", bridge.ErrCut)
	}
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return &bridge.AttemptError{Fault: bridge.FaultRender, Reason: "no URL that can be asked"}
	}
	if u.Scheme == "http" && !w.options.AllowHTTP && !w.options.Dev {
		return &bridge.AttemptError{Fault: bridge.FaultConfig, Reason: errPlainHTTP.Error(), Err: errPlainHTTP}
	}
	bounded, cancel := context.WithTimeout(ctx, limits.ProbeTime)
	defer cancel()
	r := request{method: http.MethodHead, url: u, fields: []http1.Field{{Name: "User-Agent", Value: w.userAgent}}}
	r.origin, _ = http1.OriginOf(u) // else none: it cannot be sent
	if _, err := w.standard.send(bounded, r, tenant); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return cutOff(ctx)
		}
		e := endpoint{secrets: record.URLSecrets(target)}
		failure := e.told(transportFailure(err, u.Host, limits.ProbeTime, record.DefaultConnectTimeout))
		if w.discreet(failure, err, tenant, u); failure.Detail != "" && failure.Fault != bridge.FaultConfig {
			<-bounded.Done()
		}
		return failure
	}
	return nil
}
