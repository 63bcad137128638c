package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge/event"
	"orderbridge/bridge/flight"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// Options are the parts that a Bridge is made of. All are required, except
// where a default is given.
type Options struct {
	Feed   func() (Feed, error) // a new feed for each term
	Source Source
	Ledger Ledger
	Lease  Lease
	// Traces reads what leaders have left on the bus beside the lease.
	Traces      func(ctx context.Context) (protocol.Traces, error)
	Records     Records
	DeadLetters DeadLetters
	Clock       Clock
	Decoder     *event.Decoder
	Alerts      Alerts // nil: alerts are only counted
	// Parse reads a record.
	Parse func(id string, data []byte) (*record.Subscription, record.Problems)
	// Filter evaluates the filters of records. Default: one that fails.
	Filter Filter
	// Publisher sends a delivery to its endpoint.
	Publisher message.Publisher
	// Middleware stands around each attempt, outermost first, inside Recoverer.
	Middleware []message.HandlerMiddleware
	// Holder is the name of this replica in the lease.
	Holder string
	// Successor says that a lease which carries the name of this replica is
	// certainly of a former life of it, so that it need not run out: true only
	// where something else (the lock on the data directory) proves it.
	Successor bool
	// Connection returns a context that ends when the present connection to the
	// bus is lost: what was asked over it gets no answer any more, and is asked
	// again. Default: requests only end by their deadline.
	Connection func() context.Context
	// Window is the largest number of unsettled events (DESIGN: W). Default 4096.
	Window int
	// MaxEventBytes is the largest event that is delivered; larger ones are
	// dead-lettered. 0: no bound.
	MaxEventBytes int
	// ShutdownTimeout bounds a graceful stop. Default 20 s.
	ShutdownTimeout time.Duration
	// TraceDir is where the flight recorder writes its files; "": nowhere.
	TraceDir string
	// Build is what they say of the build that wrote them.
	Build flight.Build
	// Logger gets what happens. Default slog.Default().
	Logger *slog.Logger
}

// Role is what a replica does at present.
type Role string

// The roles of a replica.
const (
	RoleStandby    Role = "standby"
	RoleTakingOver Role = "taking over"
	RoleLeader     Role = "leader"
)

// Condition is what a Bridge says of itself.
type Condition struct {
	Role    Role
	Epoch   uint64
	Reasons []string                // why it is not ready; empty if it is
	Notes   []string                // worth knowing, though it is ready
	Changes []protocol.StreamChange // of the source stream, that no operator has acknowledged (R15)
	Figures protocol.Figures
	Usage   []protocol.Usage // of what tenants and subscriptions share; a leader's
}

// Bridge is one replica: it stands by, leads a term when the lease falls to it,
// and hands over.
type Bridge struct {
	o      Options
	bounds protocol.Bounds
	term   atomic.Pointer[term]
	lacks  atomic.Pointer[string] // why a stand-by is not ready; nil: it never saw the lease
	led    atomic.Int64           // boot time at which a stand-by last saw somebody lead
	traced time.Duration          // boot time of the last trace that nobody asked for
	total  struct {
		sync.Mutex
		protocol.Figures // counts of earlier terms
	}
}

// New checks the options.
func New(o Options) (*Bridge, error) {
	for name, missing := range map[string]bool{
		"Feed": o.Feed == nil, "Source": o.Source == nil, "Ledger": o.Ledger == nil, "Lease": o.Lease == nil,
		"Traces": o.Traces == nil, "Records": o.Records == nil, "DeadLetters": o.DeadLetters == nil,
		"Clock":   o.Clock == nil,
		"Decoder": o.Decoder == nil, "Parse": o.Parse == nil, "Publisher": o.Publisher == nil, "Holder": o.Holder == "",
	} {
		if missing {
			return nil, fmt.Errorf("bridge: option %s is missing", name)
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Filter == nil {
		o.Filter = noFilter{}
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = 20 * time.Second
	}
	l := protocol.DefaultBounds()
	if o.Window > 0 {
		l.Window = o.Window
	}
	// The last part of the time is for writing down what is left.
	l.Drain = max(o.ShutdownTimeout-2*time.Second, o.ShutdownTimeout/4)
	l.Freeze = min(l.Freeze, o.ShutdownTimeout/4)
	l.Last = o.ShutdownTimeout - min(500*time.Millisecond, o.ShutdownTimeout/8)
	return &Bridge{o: o, bounds: l}, nil
}

// Run stands by and leads until ctx ends; then it hands over, which takes at
// most ShutdownTimeout. It returns nil after a graceful stop. After Run
// returns nothing of it runs any more.
func (b *Bridge) Run(ctx context.Context) error {
	succeed := b.o.Successor
	for ctx.Err() == nil {
		won, err := b.standBy(ctx, succeed)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		t, err := b.newTerm(won)
		if err != nil {
			return err
		}
		b.term.Store(t)
		err = t.run(ctx)
		// A lease that still carries our name after a term of ours has ended
		// binds nobody: nothing of that term runs any more. But after a panic it
		// has to pass, so that one that comes again is paced.
		succeed = !errors.Is(err, errPanicked)
		b.term.Store(nil)
		b.addFigures(t)
		switch {
		case err == nil: // handed over
			return nil
		case errors.Is(err, protocol.ErrStreamChanged):
			b.o.Logger.Warn("taking over again", "epoch", won.Entry.Epoch, "reason", err)
		case errors.Is(err, protocol.ErrDeposed), errors.Is(err, protocol.ErrLeaseOver),
			errors.Is(err, protocol.ErrStateGone):
			b.o.Logger.Warn("leadership lost: standing by", "epoch", won.Entry.Epoch, "reason", err)
		case ctx.Err() != nil:
			return fmt.Errorf("stop: %w", err)
		case errors.Is(err, errPanicked):
			b.o.Logger.Warn("standing by until the lease has passed", "epoch", won.Entry.Epoch, "reason", err)
		default:
			return err
		}
	}
	return nil
}

// ready says that a stand-by has what it needs, notReady what it lacks.
func (b *Bridge) ready() { b.notReady("") }

func (b *Bridge) notReady(why string) { b.lacks.Store(&why) }

// Condition says what the replica does and whether it is ready.
func (b *Bridge) Condition() Condition {
	c := Condition{Role: RoleStandby}
	if t := b.term.Load(); t != nil {
		c = *t.condition.Load()
	} else if r := b.lacks.Load(); r == nil {
		c.Reasons = []string{"the bus has not answered yet"}
	} else {
		if *r != "" {
			c.Reasons = []string{*r}
		}
		if text, tooLong := b.leaderless(); tooLong {
			c.Reasons = append(c.Reasons, text)
		} else if text != "" {
			c.Notes = append(c.Notes, text)
		}
	}
	b.total.Lock()
	c.Figures = c.Figures.Plus(b.total.Figures)
	b.total.Unlock()
	return c
}

func (b *Bridge) addFigures(t *term) {
	last := t.condition.Load().Figures
	b.total.Lock()
	defer b.total.Unlock()
	b.total.Figures = last.Plus(b.total.Figures)
	b.total.Unsettled, b.total.Owed, b.total.Held, b.total.Reading = 0, 0, 0, 0
	b.total.Suspended, b.total.Subscriptions, b.total.Running = 0, 0, 0
}

// Reread parses the newest revision of a record again, because what Parse warns
// of has changed though the record has not; its status follows. Only the
// leader does: another replica parses all records when it takes over. A record
// that could not be used, and can be now, comes into force.
func (b *Bridge) Reread(ctx context.Context, subscription string) error {
	t := b.term.Load()
	if t == nil {
		return nil
	}
	r, err := b.o.Records.Latest(ctx, subscription)
	if errors.Is(err, protocol.ErrNotFound) || err == nil && r.Deleted {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read subscription %q again: %w", subscription, err)
	}
	rec, problems := b.o.Parse(r.Key, r.Value)
	if problems.Err() != nil {
		rec = nil
	}
	t.post(&protocol.RecordReread{Revision: r, Record: rec, Problems: problems})
	return nil
}

// ErrNotLeader says that another replica leads: only the leader takes commands.
var ErrNotLeader = errors.New("this replica does not lead")

// Losing tells the leader why the source stream deletes what is owed; "": it
// does not (any more).
func (b *Bridge) Losing(why string) {
	if t := b.term.Load(); t != nil {
		t.post(protocol.StreamLoses{Why: why})
	}
}

// Alert tells the operators something about the bus; only the leader does.
func (b *Bridge) Alert(kind, what, text string) {
	if t := b.term.Load(); t != nil {
		t.post(protocol.BusAlert{Kind: kind, What: what, Text: text})
	}
}
