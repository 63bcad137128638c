package store

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Upkeep sees to the streams and buckets, at the start and while the program
// runs. What does not fit never ends it: the program stays up, not ready, says
// why and goes on when it is mended. With the embedded server that also leaves
// the operator's remedy something to talk to.
type Upkeep struct {
	js    jetstream.JetStream
	o     Options
	log   *slog.Logger
	watch *assetWatch
	seen  atomic.Pointer[condition]
}

// condition is what the last look at the streams and buckets has found.
type condition struct {
	reasons  []string // why the program is not ready
	warnings []string // what it works in spite of
}

// NewUpkeep sees to what Ensure makes under these options.
func NewUpkeep(js jetstream.JetStream, o Options) *Upkeep {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Upkeep{js: js, o: o, log: o.Logger, watch: newAssetWatch(js, o)}
}

// Condition says why the program is not ready, and what it works in spite of.
// Safe for concurrent use.
func (u *Upkeep) Condition() (reasons, warnings []string) {
	if c := u.seen.Load(); c != nil {
		return c.reasons, c.warnings
	}
	return nil, nil
}

// Ensure makes and checks streams and buckets until all fit, and tells waiting
// what it waits for. The error is that of ctx.
func (u *Upkeep) Ensure(ctx context.Context, waiting func(reasons ...string)) (Names, error) {
	told, said := "", time.Time{}
	for {
		names, findings, err := Ensure(ctx, u.js, u.o)
		if ctx.Err() != nil {
			return names, ctx.Err()
		}
		reasons := standing(findings)
		if err != nil {
			reasons = []string{"the bus cannot make or check the streams and buckets yet: " + Explain(err).Error()}
		}
		text := strings.Join(reasons, "\n")
		if again := text != told || time.Since(said) >= limits.AssetsSayAgain; again || len(reasons) == 0 {
			u.tell(findings)
			if err != nil {
				u.log.Warn("the bus cannot make or check the streams and buckets yet", "error", Explain(err))
			}
			told, said = text, time.Now()
		}
		if len(reasons) == 0 {
			return names, nil
		}
		waiting(reasons...)
		select {
		case <-ctx.Done():
			return names, ctx.Err()
		case <-time.After(limits.AssetsCheck):
		}
	}
}

// Look takes the look that later ones are held against, before anything runs.
func (u *Upkeep) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, limits.AssetsCheck)
	defer cancel()
	if _, err := u.watch.Look(ctx); err != nil {
		u.log.Debug("the streams and buckets cannot be looked at", "error", err)
	}
}

// Watcher is the bridge, as far as streams and buckets concern it.
type Watcher interface {
	Losing(why string)
	Alert(kind, what, text string)
}

// Run looks at the streams and buckets until ctx ends.
func (u *Upkeep) Run(ctx context.Context, b Watcher) error {
	tick := time.NewTicker(limits.AssetsCheck)
	defer tick.Stop()
	answered, told := time.Now(), []Finding(nil)
	for {
		seen, err := u.watch.Look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			answered = time.Now()
			b.Losing(seen.losing)
			u.report(b, seen, told)
			told = seen.Standing
		case time.Since(answered) > limits.AssetsTime && u.js.Conn().IsConnected():
			u.seen.Store(&condition{reasons: []string{"the bus does not answer for its streams and buckets: " +
				Explain(err).Error()}})
			u.log.Debug("the streams and buckets cannot be looked at", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// report tells what is new in log and alerts, and what stands in Condition.
func (u *Upkeep) report(b Watcher, seen sighting, told []Finding) {
	news := seen.News
	for _, f := range seen.Standing {
		if !slices.Contains(told, f) && !slices.Contains(news, f) {
			news = append(news, f)
		}
	}
	u.tell(news)
	for _, f := range news {
		b.Alert(protocol.AlertBus, f.Subject, f.Text)
	}
	if len(told) > 0 && len(seen.Standing) == 0 {
		u.log.Info("the streams and buckets fit again")
	}
	now := &condition{reasons: standing(seen.Standing)}
	for _, f := range seen.Standing {
		if f.Severity == Warning {
			now.warnings = append(now.warnings, f.Subject+": "+f.Text)
		}
	}
	u.seen.Store(now)
}

// tell logs findings by their severity.
func (u *Upkeep) tell(findings []Finding) {
	for _, f := range findings {
		switch f.Severity {
		case Error:
			u.log.Error(f.Text, "what", f.Subject)
		case Warning:
			u.log.Warn(f.Text, "what", f.Subject)
		default:
			u.log.Info(f.Text, "what", f.Subject)
		}
	}
}

// standing are the errors among the findings, as reasons for not being ready.
func standing(findings []Finding) []string {
	var reasons []string
	for _, f := range errorsOf(findings) {
		reasons = append(reasons, f.Subject+": "+f.Text)
	}
	return reasons
}
