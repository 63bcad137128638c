package main

import (
	"context"
	"net"
	"net/http"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/internal/api"
	"orderbridge/internal/callers"
	"orderbridge/internal/health"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/publishers"
)

// manage answers for the management API, once there is one.
func (a *app) manage(w http.ResponseWriter, r *http.Request) {
	if m := a.api.Load(); m != nil {
		m.ServeHTTP(w, r)
		return
	}
	api.Starting(w, r)
}

func (a *app) newAPI(parse func(string, []byte) (*bridge.Subscription, bridge.Problems)) (*api.API, error) {
	o := api.Options{
		Catalog: store.NewCatalog(a.js, a.names, publishers.ParseDeadLetter).SignedBy(&a.auditKey).WithIndex(a.index),
		Quota:   a.quota(),
		Parse:   parse,
		Probe:   a.webhook.Probe,
		Attempt: func(ctx context.Context, d *bridge.Delivery) error {
			m := message.NewMessage(d.Event.ID, d.Event.Data)
			m.SetContext(bridge.WithDelivery(ctx, d))
			return a.webhook.Publish(d.Subscription.ID, m)
		},
		Seal:           a.sealRecord,
		Hosts:          a.hostNames(),
		Proxies:        callers.Proxies(a.cfg.APIProxies),
		Busy:           health.Busy,
		Remedy:         "set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE",
		TenantSubjects: a.cfg.ConfineTenants(),
		Version:        telemetry.Version().Version,
		Metrics:        a.metrics,
		Log:            a.log,
	}
	tokens, err := a.tokens()
	if err != nil {
		return nil, err
	}
	o.Tokens, a.callers = tokens, tokens
	return api.New(o)
}

// sealRecord seals the secrets of a record that the API is about to store, if
// there is a key for it.
func (a *app) sealRecord(_ context.Context, id string, record []byte) ([]byte, error) {
	return a.secrets.SealRecord(id, record)
}

// hostNames are the names under which the program may be called.
func (a *app) hostNames() []string {
	names := append([]string{}, a.cfg.APIHosts...)
	if host, _, err := net.SplitHostPort(a.cfg.HTTPListen); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// insider is true for a caller who may know why the program is not ready.
func (a *app) insider(r *http.Request) bool {
	m := a.api.Load()
	return m != nil && m.Operator(r)
}
