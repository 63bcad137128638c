package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Quota is what a tenant may store by the API. What others put for it counts as
// well, but is not refused here. A zero member bounds nothing.
type Quota struct {
	Records int
	Bytes   int64
	Writes  int // a second
}

// Exceeded says what a tenant has more of than it may; "" if nothing. What
// `nats kv put` has stored for a tenant counts as well, but nobody can refuse it
// there: the record is as good as any other, and its status, a metric and the
// log tell that the tenant has more than its quota.
func (q Quota) Exceeded(u store.Usage) string {
	switch {
	case q.Records > 0 && u.Records > q.Records:
		return fmt.Sprintf("tenant %s has %d records, and may have %d (ORDERBRIDGE_TENANT_RECORDS)", u.Tenant,
			u.Records, q.Records)
	case q.Bytes > 0 && u.Bytes > q.Bytes:
		return fmt.Sprintf("the records of tenant %s have %d bytes, and may have %d (ORDERBRIDGE_TENANT_BYTES)",
			u.Tenant, u.Bytes, q.Bytes)
	}
	return ""
}

// Problem warns in the status of a record that its tenant has too much.
func (q Quota) Problem(s *record.Subscription, index *store.Index) record.Problems {
	if s.Tenant == "" || index == nil {
		return nil
	}
	if text := q.Exceeded(index.Usage(s.Tenant)); text != "" {
		return record.Problems{{Field: "tenant", Message: text + ": the API takes no further ones of it", Warning: true}}
	}
	return nil
}

// Watch tells, until ctx ends, of tenants that have more than their quota, and
// of those that have it no longer.
func (q Quota) Watch(ctx context.Context, index *store.Index, metrics prometheus.Registerer, log *slog.Logger) error {
	beyond := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "orderbridge_tenants_beyond_quota",
		Help: "Tenants that have more records, or more bytes of them, than ORDERBRIDGE_TENANT_RECORDS and ORDERBRIDGE_TENANT_BYTES say; the log and the status of their records name them.",
	})
	if err := metrics.Register(beyond); err != nil {
		return fmt.Errorf("register a metric: %w", err)
	}
	tick := time.NewTicker(limits.QuotaLook)
	defer tick.Stop()
	var told []string
	for {
		var now []string
		for _, u := range index.Usages(func(u store.Usage) bool { return q.Exceeded(u) != "" }) {
			now = append(now, u.Tenant)
			if !slices.Contains(told, u.Tenant) {
				log.Warn("a tenant has more than its quota: " + q.Exceeded(u))
			}
		}
		for _, tenant := range told {
			if !slices.Contains(now, tenant) {
				log.Info("a tenant is within its quota again", "tenant", tenant)
			}
		}
		told = now
		beyond.Set(float64(len(now)))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// writer is a tenant that writes. Its writes that add something come one after
// the other, so that each is counted before the next.
type writer struct {
	turn chan struct{}
	rate *rate.Limiter
	uses int
}

type writers struct {
	mu  sync.Mutex
	all map[string]*writer
}

// enter finds the writer and keeps it until leave is called.
func (w *writers) enter(tenant string, q Quota, now time.Time) (one *writer, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[string]*writer{}
	}
	one = w.all[tenant]
	if one == nil {
		if len(w.all) >= limits.APIWriters {
			w.forget(now)
		}
		one = &writer{turn: make(chan struct{}, 1),
			rate: rate.NewLimiter(rate.Limit(q.Writes), q.Writes*limits.APIWriteBurst)}
		w.all[tenant] = one
	}
	one.uses++
	return one, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		one.uses--
	}
}

// forget takes out those that may write as if they never had.
func (w *writers) forget(now time.Time) {
	for tenant, one := range w.all {
		if one.uses == 0 && one.rate.TokensAt(now) >= float64(one.rate.Burst()) {
			delete(w.all, tenant)
		}
	}
}

// admitWrite holds a write against the quota of the caller's tenant; done is
// called when it is over.
func (a *API) admitWrite(ctx context.Context, ch change) (done func(), err error) {
	q, nothing := a.o.Quota, func() {}
	tenant, confined := callerOf(ctx).scope.Tenant()
	if !confined || q == (Quota{}) {
		return nothing, nil
	}
	w, leave := a.writers.enter(tenant, q, a.o.Now())
	if q.Writes > 0 && !w.rate.AllowN(a.o.Now(), 1) {
		leave()
		return nil, later(time.Second,
			fmt.Sprintf("tenant %s writes more than %d records a second (ORDERBRIDGE_TENANT_WRITES); try again in a second", tenant, q.Writes))
	}
	records, bytes := 0, int64(len(ch.value))
	if ch.before == nil {
		records = 1
	} else {
		bytes -= int64(len(ch.before.Value))
	}
	if q.Records == 0 && q.Bytes == 0 || ch.value == nil || records == 0 && bytes <= 0 {
		return leave, nil
	}
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	done = func() { <-w.turn; leave() }
	used, err := a.o.Catalog.Usage(ctx, tenant)
	switch {
	case err != nil:
	case q.Records > 0 && records > 0 && used.Records+records > q.Records:
		err = say(http.StatusForbidden, fmt.Sprintf("tenant %s has %d records, and may have %d (ORDERBRIDGE_TENANT_RECORDS); delete some, or ask the operator for more", tenant, used.Records, q.Records))
	case q.Bytes > 0 && used.Bytes+bytes > q.Bytes:
		err = say(http.StatusForbidden, fmt.Sprintf("the records of tenant %s have %d bytes, this write adds %d, and they may have %d (ORDERBRIDGE_TENANT_BYTES); delete or shorten some, or ask the operator for more", tenant, used.Bytes, bytes, q.Bytes))
	}
	if err != nil {
		done()
		return nil, err
	}
	return done, nil
}
