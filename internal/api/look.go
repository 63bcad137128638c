package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// What the console looks at beside what the commands do.

// figuresKey is what figures are of: a scope, one or more ids, and a Unix time.
type figuresKey struct {
	scope store.Scope
	ids   string
	since int64
}

func anyAnswer[T any](T) bool { return true }

func (a *API) getFigures(r *http.Request) (answer, error) {
	p := parameters{r: r}
	subscription, since := p.subscription(), p.time("since")
	const most = 24 * time.Hour
	now := a.o.Now()
	if since.IsZero() {
		since = now.Add(-time.Hour)
	}
	if now.Sub(since) > most+time.Minute || since.After(now) {
		p.say("query", "since", "expected a time of the last 24 hours")
	}
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	key := figuresKey{callerOf(r.Context()).scope, subscription, since.Truncate(time.Minute).Unix()}
	f, err := a.figures.get(r.Context(), key, anyAnswer, func(ctx context.Context) (store.Figures, error) {
		return a.o.Catalog.Figures(ctx, key.scope, subscription, since)
	})
	return answer{body: f}, err
}

func (a *API) getFiguresOfSome(r *http.Request) (answer, error) {
	p := parameters{r: r}
	ids := strings.Split(p.text("ids", 65*limits.FiguresOfSome), ",")
	if len(ids) > limits.FiguresOfSome {
		p.say("query", "ids", "expected %d ids at most", limits.FiguresOfSome)
	}
	for _, id := range ids {
		if _, err := (store.AttemptQuery{Subscription: id}).Check(); err != nil || id == "" {
			p.say("query", "ids", "%q is not an id: 1 to 64 letters, digits, - and _", id)
			break
		}
	}
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	since := a.o.Now().Add(-time.Hour)
	key := figuresKey{callerOf(r.Context()).scope, strings.Join(ids, ","), since.Truncate(time.Minute).Unix()}
	items, err := a.figuresOfSome.get(r.Context(), key, anyAnswer, func(ctx context.Context) ([]store.SubscriptionFigures, error) {
		return a.o.Catalog.FiguresOfSome(ctx, key.scope, ids, since)
	})
	return answer{body: page[store.SubscriptionFigures]{Items: append([]store.SubscriptionFigures{}, items...)}}, err
}

func (a *API) listAlerts(r *http.Request) (answer, error) {
	return listNewest(a, r, func(before uint64, limit int) ([]store.AlertEntry, uint64, error) {
		found, err := a.o.Catalog.Alerts(r.Context(), callerOf(r.Context()).scope, before, limit)
		return found.Items, found.Next, err
	})
}

func (a *API) listEvents(r *http.Request) (answer, error) {
	return listNewest(a, r, func(before uint64, limit int) ([]store.StreamEvent, uint64, error) {
		found, err := a.o.Catalog.Events(r.Context(), callerOf(r.Context()).scope, before, limit)
		return found.Items, found.Next, err
	})
}

// listNewest answers a page of what is listed from the newest on.
func listNewest[T any](a *API, r *http.Request, read func(before uint64, limit int) ([]T, uint64, error)) (answer, error) {
	p := parameters{r: r}
	before, limit := p.below("before"), p.limit()
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	items, next, err := read(before, limit)
	out := page[T]{Items: append([]T{}, items...)}
	if next > 0 {
		out.Next = strconv.FormatUint(next, 10)
	}
	return answer{body: out}, err
}
