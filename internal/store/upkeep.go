package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/health"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// The streams and buckets, at the start and while the program runs. What does
// not fit never ends it: it stays up, not ready, says why and goes on when it
// is mended. With the embedded server that also leaves the operator's remedy
// something to talk to.

// ensure makes and checks streams and buckets until all fit.
func (a *app) ensure(ctx context.Context) error {
	a.waiting("checking the streams and buckets")
	told, said := "", time.Time{}
	for {
		names, findings, err := store.Ensure(ctx, a.js, a.storeOptions())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		reasons := standing(findings)
		if err != nil {
			reasons = []string{"the bus cannot make or check the streams and buckets yet: " + explain(err).Error()}
		}
		text := strings.Join(reasons, "\n")
		if again := text != told || time.Since(said) >= limits.AssetsSayAgain; again || len(reasons) == 0 {
			a.tell(findings)
			if err != nil {
				a.log.Warn("the bus cannot make or check the streams and buckets yet", "error", explain(err))
			}
			told, said = text, time.Now()
		}
		if len(reasons) == 0 {
			a.names = names
			return nil
		}
		a.waiting(reasons...)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(limits.AssetsCheck):
		}
	}
}

// tell logs findings by their severity.
func (a *app) tell(findings []store.Finding) {
	for _, f := range findings {
		switch f.Severity {
		case store.Error:
			a.log.Error(f.Text, "what", f.Subject)
		case store.Warning:
			a.log.Warn(f.Text, "what", f.Subject)
		default:
			a.log.Info(f.Text, "what", f.Subject)
		}
	}
}

// standing are the errors among the findings, as reasons for not being ready.
func standing(findings []store.Finding) []string {
	var reasons []string
	for _, f := range findings {
		if f.Severity == store.Error {
			reasons = append(reasons, f.Subject+": "+f.Text)
		}
	}
	return reasons
}

// sight is what the last look at the streams and buckets has found.
type sight struct {
	reasons  []string // why the program is not ready
	warnings []string // what it works in spite of
}

// firstLook is what later ones are held against, before anything runs.
func (a *app) firstLook(ctx context.Context) *store.Watch {
	ctx, cancel := context.WithTimeout(ctx, limits.AssetsCheck)
	defer cancel()
	w := store.NewWatch(a.js, a.storeOptions())
	if _, err := w.Look(ctx); err != nil {
		a.log.Debug("the streams and buckets cannot be looked at", "error", err)
	}
	return w
}

// watchAssets looks at the streams and buckets while the program runs.
func (a *app) watchAssets(ctx context.Context, b *bridge.Bridge, w *store.Watch) error {
	tick := time.NewTicker(limits.AssetsCheck)
	defer tick.Stop()
	answered, told := time.Now(), []store.Finding(nil)
	for {
		seen, err := w.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			answered = time.Now()
			b.Losing(seen.Losing)
			a.report(b, seen, told)
			told = seen.Standing
		case time.Since(answered) > limits.AssetsTime && a.nc.IsConnected():
			a.sight.Store(&sight{reasons: []string{"the bus does not answer for its streams and buckets: " + explain(err).Error()}})
			a.log.Debug("the streams and buckets cannot be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// report tells what is new in log and alerts, and what stands in /readyz.
func (a *app) report(b *bridge.Bridge, seen store.Sight, told []store.Finding) {
	news := seen.News
	for _, f := range seen.Standing {
		if !slices.Contains(told, f) && !slices.Contains(news, f) {
			news = append(news, f)
		}
	}
	a.tell(news)
	for _, f := range news {
		b.Alert(bridge.AlertBus, f.Subject, f.Text)
	}
	if len(told) > 0 && len(seen.Standing) == 0 {
		a.log.Info("the streams and buckets fit again")
	}
	now := &sight{reasons: standing(seen.Standing)}
	for _, f := range seen.Standing {
		if f.Severity == store.Warning {
			now.warnings = append(now.warnings, f.Subject+": "+f.Text)
		}
	}
	a.sight.Store(now)
}

// readiness is the body of /readyz.
func (a *app) readiness() health.Readiness {
	b := a.bridge.Load()
	if b == nil {
		return health.Readiness{Role: health.RoleStandby, Reasons: append(slices.Clone(*a.waits.Load()), a.busReasons()...)}
	}
	c := b.Condition()
	r := health.Readiness{Role: string(c.Role), Reasons: slices.Clone(c.Reasons)}
	r.Reasons = append(r.Reasons, a.busReasons()...)
	seen := a.sight.Load()
	if seen == nil {
		seen = new(sight)
	}
	r.Reasons = append(r.Reasons, seen.reasons...)
	if problem := a.webhook.LocalProblem(); problem != "" {
		r.Reasons = append(r.Reasons, problem)
	}
	r.Ready = len(r.Reasons) == 0
	r.Reasons = append(r.Reasons, c.Notes...)
	r.Reasons = append(r.Reasons, seen.warnings...) // it works in spite of them
	if a.file != nil && a.file.Problem() != "" {
		r.Reasons = append(r.Reasons, a.file.Problem()) // its last good version is in force
	}
	return r
}

func (a *app) waiting(what ...string) { a.waits.Store(&what) }
