package bridge

import "context"

// Exchange is what a publisher notes of the request of an attempt, for the delivery
// log. Nothing of it is a secret.
type Exchange struct {
	Request  AttemptRequest // Method "": none was made
	Response AttemptResponse
	Status   int    // of the answer; 0: none came
	TraceID  string // under which a Tracer tells it; "": that of the event, if it has one
	Timings  AttemptTimings

	log                  AttemptLog // is asked whether a success is noted; nil: it is
	subscription, tenant string
	left                 bool // it is not
}

// reset makes it ready for another attempt; it keeps its room for headers of a request.
func (x *Exchange) reset(log AttemptLog, subscription, tenant string) {
	*x = Exchange{Request: AttemptRequest{Headers: x.Request.Headers[:0]}, log: log, subscription: subscription, tenant: tenant}
}

// Wanted tells whether the exchange of an attempt that went well is to be noted: not
// where its entry has no room. It is asked once.
func (x *Exchange) Wanted() bool {
	x.left = x.log != nil && !x.log.Room(x.subscription, x.tenant)
	return !x.left
}

// Tell puts what was noted into an entry, which then shares it.
func (x *Exchange) Tell(a *Attempt) {
	if x == nil || x.Request.Method == "" {
		return
	}
	if x.TraceID != "" {
		a.TraceID = x.TraceID
	}
	a.Request = &x.Request
	if x.Timings.Total > 0 {
		a.Timings = &x.Timings
	}
	if x.Status > 0 {
		a.Response = &x.Response
	}
}

type exchangeKey struct{}

// WithExchange returns a context of an attempt whose exchange is to be noted.
func WithExchange(ctx context.Context, x *Exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, x)
}

// ExchangeOf returns what the exchange of an attempt is to be noted in; nil: nowhere.
func ExchangeOf(ctx context.Context) *Exchange {
	x, _ := ctx.Value(exchangeKey{}).(*Exchange)
	return x
}
