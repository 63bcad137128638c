package health

import (
	"log/slog"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"orderbridge/internal/limits"
)

// scrapes answers for the metrics: those that name subscriptions are only for
// callers who may know the reasons.
func scrapes(o Options) http.HandlerFunc {
	handler := func(from ...prometheus.Gatherer) http.Handler {
		return promhttp.HandlerFor(prometheus.GathererFunc(together(prometheus.Gatherers(from).Gather)), promhttp.HandlerOpts{
			MaxRequestsInFlight: limits.HTTPScrapes,
			Timeout:             limits.HTTPWriteTime / 2,
			ErrorLog:            slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
			EnableOpenMetrics:   true,
		})
	}
	all := handler(o.Metrics)
	if o.Named == nil {
		return all.ServeHTTP
	}
	named := handler(o.Metrics, o.Named)
	return func(w http.ResponseWriter, r *http.Request) {
		if o.inside(r) {
			named.ServeHTTP(w, r)
			return
		}
		all.ServeHTTP(w, r)
	}
}

// together asks once for all who come while the question before is being
// answered: many scrapes cost little more than one. Nobody may change what it
// returns.
func together[T any](ask func() (T, error)) func() (T, error) {
	type answer struct {
		done  chan struct{}
		value T
		err   error
	}
	var asking, mu sync.Mutex
	var next *answer
	return func() (T, error) {
		mu.Lock()
		a, first := next, next == nil
		if first {
			a = &answer{done: make(chan struct{})}
			next = a
		}
		mu.Unlock()
		if first {
			asking.Lock()
			mu.Lock()
			next = nil
			mu.Unlock()
			a.value, a.err = ask()
			asking.Unlock()
			close(a.done)
		}
		<-a.done
		return a.value, a.err
	}
}
