package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
	"orderbridge/internal/api"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// The API holds tenants to their quotas. What `nats kv put` has stored for a
// tenant counts as well, but nobody can refuse it there: the record is as good
// as any other, and its status, a metric and the log tell that the tenant has
// more than its quota.

func (a *app) quota() api.Quota {
	return api.Quota{Records: a.cfg.TenantRecords, Bytes: int64(a.cfg.TenantBytes), Writes: a.cfg.TenantWrites}
}

// exceeded says what a tenant has more of than it may; "" if nothing.
func (a *app) exceeded(u store.Usage) string {
	q := a.quota()
	switch {
	case q.Records > 0 && u.Records > q.Records:
		return fmt.Sprintf("tenant %s has %d records, and may have %d (ORDERBRIDGE_TENANT_RECORDS)", u.Tenant, u.Records, q.Records)
	case q.Bytes > 0 && u.Bytes > q.Bytes:
		return fmt.Sprintf("the records of tenant %s have %d bytes, and may have %d (ORDERBRIDGE_TENANT_BYTES)", u.Tenant, u.Bytes, q.Bytes)
	}
	return ""
}

// quotaProblem warns in the status of a record that its tenant has too much.
func (a *app) quotaProblem(s *bridge.Subscription) bridge.Problems {
	if s.Tenant == "" || a.index == nil {
		return nil
	}
	if text := a.exceeded(a.index.Usage(s.Tenant)); text != "" {
		return bridge.Problems{{Field: "tenant", Message: text + ": the API takes no further ones of it", Warning: true}}
	}
	return nil
}

// watchQuotas tells of tenants that have more than their quota, and of those
// that have it no longer.
func (a *app) watchQuotas(ctx context.Context) error {
	beyond := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "orderbridge_tenants_beyond_quota",
		Help: "Tenants that have more records, or more bytes of them, than ORDERBRIDGE_TENANT_RECORDS and ORDERBRIDGE_TENANT_BYTES say; the log and the status of their records name them.",
	})
	if err := a.metrics.Register(beyond); err != nil {
		return fmt.Errorf("register a metric: %w", err)
	}
	tick := time.NewTicker(limits.QuotaLook)
	defer tick.Stop()
	var told []string
	for {
		var now []string
		for _, u := range a.index.Usages(func(u store.Usage) bool { return a.exceeded(u) != "" }) {
			now = append(now, u.Tenant)
			if !slices.Contains(told, u.Tenant) {
				a.log.Warn("a tenant has more than its quota: " + a.exceeded(u))
			}
		}
		for _, tenant := range told {
			if !slices.Contains(now, tenant) {
				a.log.Info("a tenant is within its quota again", "tenant", tenant)
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
