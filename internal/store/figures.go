package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Figures say what was delivered in a time, by the delivery log.
type Figures struct {
	Since  time.Time `json:"since"` // may be later than was asked for: what is before was not looked at
	Until  time.Time `json:"until"`
	Looked int       `json:"looked"` // how many entries stand behind the numbers
	// Estimated: there were more than are looked at. Some of them were taken, evenly.
	Estimated bool    `json:"estimated,omitempty"`
	Outcomes  Tally   `json:"outcomes"`
	Latency   Spread  `json:"latency"` // from the publication to a 2xx
	Attempt   Spread  `json:"attempt"` // of an attempt that had an answer
	Minutes   []Tally `json:"minutes"` // oldest first, those without anything too
}

// Tally counts entries by outcome.
type Tally struct {
	Time      time.Time `json:"time"` // begin of the minute, or of all
	Delivered int       `json:"delivered"`
	Failed    int       `json:"failed"` // attempts: there may be another
	Dead      int       `json:"dead"`
	Other     int       `json:"other"` // cut, filtered, superseded
	// Latency is of the deliveries of the minute, from the publication to a 2xx; nil: there were none.
	Latency *Spread `json:"latency,omitempty"`
}

// Spread is of times in milliseconds; all 0 without any.
type Spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Figures counts what the delivery log holds of the time since until now; of one
// subscription or ("") of all. protocol.ErrNotFound if there is no delivery log.
func (c *Catalog) Figures(ctx context.Context, scope Scope, subscription string, since time.Time) (Figures, error) {
	now := time.Now().UTC()
	since = since.UTC().Truncate(time.Minute)
	q := AttemptQuery{Subscription: subscription, Since: since}
	r, low, high, err := c.attemptRange(ctx, scope, q)
	if err != nil {
		return Figures{}, err
	}
	s := sampler{from: since, until: now}
	switch {
	case low > high:
	case high-low < limits.FiguresLook:
		found, _, err := r.read(ctx, r.filter, low, high, limits.FiguresLook)
		if err != nil {
			return Figures{}, err
		}
		for i := range found {
			s.add(&found[i].Attempt)
		}
	case subscription != "":
		page, err := c.Attempts(ctx, scope, q, 0, limits.FiguresLook)
		if err != nil {
			return Figures{}, err
		}
		for i := range page.Items {
			s.add(&page.Items[i].Attempt)
		}
		if n := len(page.Items); page.Next > 0 && n > 0 {
			s.from = page.Items[n-1].Time.UTC()
		}
	default:
		if err := r.sample(ctx, &s, low, high); err != nil {
			return Figures{}, err
		}
	}
	return s.figures(), nil
}

// sample looks at some entries of [low, high], evenly: at the first of each step. Where a step
// holds none (the log keeps so many of an order), nothing is counted, and no entry twice.
func (r *attemptReader) sample(ctx context.Context, s *sampler, low, high uint64) error {
	s.weight = float64(high-low+1) / limits.FiguresLook
	at := make(chan uint64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(at)
		for i := range limits.FiguresLook {
			select {
			case at <- low + uint64(float64(i)*s.weight):
			case <-ctx.Done():
				return nil
			}
		}
		return nil
	})
	var one sync.Mutex
	for range limits.ScanAtOnce {
		g.Go(func() error {
			for seq := range at {
				m, err := msgget.Next(ctx, r.catalog.js, r.catalog.names.Attempts, seq, ">")
				if errors.Is(err, protocol.ErrNotFound) || err == nil && float64(m.Seq) >= float64(seq)+s.weight {
					continue
				}
				if err != nil {
					return err
				}
				one.Lock()
				a, own, err := r.entry(ctx, m)
				if own {
					s.add(&a.Attempt)
				}
				one.Unlock()
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// sampler adds up entries.
type sampler struct {
	from, until       time.Time
	weight            float64 // of each entry; 0: 1
	looked            int
	by                map[int64]*minuteSample
	latency, attempts []float64
}

type minuteSample struct {
	outcomes [4]int // as in a Tally
	latency  []float64
}

func (s *sampler) add(a *bridge.Attempt) {
	if a.Kind == bridge.KindTest {
		return
	}
	if s.by == nil {
		s.by = map[int64]*minuteSample{}
	}
	minute := a.Time.Unix() / 60
	if s.by[minute] == nil {
		s.by[minute] = new(minuteSample)
	}
	s.looked++
	of, kind := s.by[minute], 3
	switch a.Outcome {
	case bridge.OutcomeDelivered:
		kind = 0
		if !a.Published.IsZero() && a.Kind != bridge.KindReplay && a.Kind != bridge.KindRedrive {
			ms := float64(a.Time.Sub(a.Published)) / float64(time.Millisecond)
			s.latency, of.latency = append(s.latency, ms), append(of.latency, ms)
		}
	case bridge.OutcomeFailed:
		kind = 1
	case bridge.OutcomeDead:
		kind = 2
	}
	of.outcomes[kind]++
	if a.Timings != nil && a.Status > 0 {
		s.attempts = append(s.attempts, a.Timings.Total)
	}
}

func (s *sampler) figures() Figures {
	weight := max(s.weight, 1)
	f := Figures{Since: s.from, Until: s.until, Looked: s.looked, Estimated: weight > 1, Latency: spread(s.latency),
		Attempt: spread(s.attempts), Minutes: []Tally{}}
	f.Outcomes.Time = s.from
	for minute := s.from.Unix() / 60; minute <= s.until.Unix()/60; minute++ {
		t := Tally{Time: time.Unix(minute*60, 0).UTC()}
		if n := s.by[minute]; n != nil {
			for i, into := range []*int{&t.Delivered, &t.Failed, &t.Dead, &t.Other} {
				*into = int(math.Round(float64(n.outcomes[i]) * weight))
			}
			if len(n.latency) > 0 {
				of := spread(n.latency)
				t.Latency = &of
			}
		}
		f.Outcomes.Delivered += t.Delivered
		f.Outcomes.Failed += t.Failed
		f.Outcomes.Dead += t.Dead
		f.Outcomes.Other += t.Other
		f.Minutes = append(f.Minutes, t)
	}
	return f
}

func spread(ms []float64) Spread {
	if len(ms) == 0 {
		return Spread{}
	}
	slices.Sort(ms)
	at := func(q float64) float64 {
		x := max(ms[int(q*float64(len(ms)-1))], 0) // clocks differ
		return math.Round(x*1000) / 1000
	}
	return Spread{P50: at(0.5), P99: at(0.99)}
}
