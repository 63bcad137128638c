package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Options of an Auditor. All are required, except where it is said.
type Options struct {
	JetStream jetstream.JetStream
	Names     store.Names
	Key       *store.Key
	Leading   func() bool // whether this bridge leads
	Holder    string      // name of this bridge
	Metrics   prometheus.Registerer
	Source    string       // of the CloudEvents. Default "/orderbridge"
	Logger    *slog.Logger // nil: slog.Default()
}

// Auditor writes the audit. Safe for concurrent use.
type Auditor struct {
	o       Options
	records *store.Trail
	former  *former
	witness witness
	notes   chan *note
	asked   *rate.Limiter
	stored  prometheus.Counter
	dropped prometheus.Counter

	mu   sync.Mutex
	told time.Time // of what cannot be audited
}

// New checks the options.
func New(o Options) (*Auditor, error) {
	if o.JetStream == nil || o.Key == nil || o.Leading == nil || o.Metrics == nil {
		return nil, errors.New("audit: an option is missing")
	}
	if o.Source == "" {
		o.Source = "/orderbridge"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	a := &Auditor{
		o: o, records: store.NewTrail(o.JetStream, o.Names.Subscriptions, o.Logger), former: newFormer(),
		notes: make(chan *note, limits.AuditQueue),
		asked: rate.NewLimiter(limits.AuditTold, limits.AuditTold),
		stored: prometheus.NewCounter(prometheus.CounterOpts{Name: "orderbridge_audit_entries_total",
			Help: "Entries stored in the audit by this bridge."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "orderbridge_audit_dropped_total",
			Help: "Entries of commands that could not be stored; those of records are never dropped."}),
	}
	for _, c := range []prometheus.Collector{a.stored, a.dropped} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Run writes entries until ctx ends.
func (a *Auditor) Run(ctx context.Context) error {
	sub, err := a.o.JetStream.Conn().Subscribe("$KV."+a.o.Names.Subscriptions+".*", a.witness.hear)
	if err == nil {
		_ = sub.SetPendingLimits(limits.AuditWitnessed, limits.AuditFormerBytes) // it only misses some
		a.witness.active = true
		defer sub.Unsubscribe() //nolint:errcheck // the connection ends with the program
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.loadKey(ctx) })
	wg.Go(func() { a.trail(ctx) })
	wg.Go(func() { a.journal(ctx) })
	wg.Wait()
	return nil
}

// loadKey goes on until the key is there: until then nothing is signed.
func (a *Auditor) loadKey(ctx context.Context) {
	for a.o.Key.Stale() {
		if err := a.o.Key.Load(ctx, a.o.JetStream, a.o.Names); err != nil {
			a.complain("what the management API says of its callers is not signed", err)
		}
		if a.o.Key.Stale() && !sleep(ctx, complainAll/6) {
			return
		}
	}
}

// complain says once a minute what cannot be audited.
func (a *Auditor) complain(what string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.told) < complainAll {
		return
	}
	a.told = time.Now()
	a.o.Logger.Warn(what, "stream", a.o.Names.Audit, "error", err)
}

// Note is something that was done beside the records.
type Note struct {
	Kind         string // letters, stream, bridge, record
	Action       string
	Subscription string // "": the bridge as a whole
	Tenant       string
	Who          Who
	Text         string
	Details      map[string]string
	ID           string // the same for the same thing; "": a new one
}

type note struct {
	kind  string
	entry *Entry
	until time.Time
}

// Note stores an entry soon, and never waits: what cannot be stored in time is
// dropped, counted and said in the log.
func (a *Auditor) Note(n Note) {
	if a == nil {
		return
	}
	if n.ID == "" {
		n.ID = rand.Text()
	}
	d := Data{Action: n.Action, Subscription: cut(n.Subscription, 128), Tenant: cut(n.Tenant, 128), Who: n.Who,
		Text: n.Text, Details: map[string]string{}}
	for k, v := range n.Details {
		d.Details[cut(k, 128)] = cut(v, limits.AuditValueBytes)
	}
	select {
	case a.notes <- &note{n.Kind, newEntry(n.ID, a.o.Source, time.Now(), d), time.Now().Add(limits.AuditQueueWait)}:
	default:
		a.drop(n.Action, errors.New("too many of them wait"))
	}
}

func (a *Auditor) drop(action string, err error) {
	a.dropped.Inc()
	a.o.Logger.Warn("an entry of the audit is dropped", "action", action, "error", err)
}

// journal stores what Note has left; at the end it tries what is left once.
func (a *Auditor) journal(ctx context.Context) {
	for {
		select {
		case n := <-a.notes:
			a.keep(ctx, n)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			for len(a.notes) > 0 {
				a.keep(last, <-a.notes)
			}
			return
		}
	}
}

func (a *Auditor) keep(ctx context.Context, n *note) {
	for {
		_, err := a.publish(context.WithoutCancel(ctx), n.kind, n.entry, nil)
		if err == nil {
			return
		}
		if time.Now().After(n.until) || !sleep(ctx, time.Second) {
			a.drop(n.entry.Data.Action, err)
			return
		}
	}
}

// Asks tells who sends a command, by the headers of its message.
func (a *Auditor) Asks(m *nats.Msg) Who {
	who := Who{Via: "bus"}
	if a == nil {
		return who
	}
	if actor, known, told := a.o.Key.By(m.Header, store.Deed{On: m.Subject, Data: m.Data}); told {
		who.say(actor, known)
	}
	who.told(userOf(m))
	return who
}
