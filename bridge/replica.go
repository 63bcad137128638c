package bridge

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/event"
	"orderbridge/bridge/flight"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Options are the parts that a Replica is made of. All are required, except
// where a default is given.
type Options struct {
	// Seat makes what the shard of that number has for itself.
	Seat func(l protocol.Layout, number int) Parts
	// Layout is the entry that says how many shards there are.
	Layout Lease
	// Shards is what all shards have in common on the bus.
	Shards Shards
	// ShardCount is how many shards there are where nothing is there yet. 0: one.
	ShardCount  int
	Records     Records
	Statuses    Statuses
	DeadLetters DeadLetters
	Replays     Replays // nil: there are none
	Clock       Clock
	Decoder     *event.Decoder
	Alerts      Alerts // nil: alerts are only counted
	// AlertFeed brings them back for the records that hear them. nil: none does.
	AlertFeed AlertFeed
	// AttemptLog keeps what became of each attempt. nil: nothing does.
	AttemptLog AttemptLog
	// LogFailures says that it wants nothing of what was superseded.
	LogFailures bool
	// Parse reads a record.
	Parse func(id string, data []byte) (*record.Subscription, record.Problems)
	// Filter evaluates the filters of records. Default: one that fails.
	Filter Filter
	// Publisher sends a delivery to its endpoint.
	Publisher message.Publisher
	// Preview makes the request that Publisher would send for a delivery now, with so
	// many bytes of its body, and sends nothing. Default: one that fails.
	Preview func(d *protocol.Delivery, body int) (*Request, error)
	// Middleware stands around each attempt, outermost first, inside Recoverer.
	Middleware []message.HandlerMiddleware
	// Holder is the name of this replica in the leases.
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
	// Wanted says which subscriptions Condition tells by name. Default: none.
	Wanted func() protocol.Wanted
	// Logger gets what happens. Default slog.Default().
	Logger *slog.Logger
}

// Parts are the ports of one shard.
type Parts struct {
	Feed   func() (Feed, error) // a new feed for each term
	Source Source
	Ledger Ledger
	Lease  Lease
	// Traces reads what leaders have left on the bus beside the lease.
	Traces func(ctx context.Context) (protocol.Traces, error)
}

// Role is what a replica does at present.
type Role string

// The roles of a replica.
const (
	RoleStandby    Role = "standby"
	RoleTakingOver Role = "taking over"
	RoleLeader     Role = "leader"
)

// Condition is what a Replica says of itself.
type Condition struct {
	Role    Role
	Epoch   uint64                  // the highest that it leads
	Reasons []string                // why it is not ready; empty if it is
	Notes   []string                // worth knowing, though it is ready
	Changes []protocol.StreamChange // of the source stream, that no operator has acknowledged (R15)
	Figures protocol.Figures
	Usage   []protocol.Usage // of what tenants and subscriptions share; a leader's

	Oldest  event.Ref              // of the events that are owed; Seq 0: none is. Time 0: not known
	States  map[protocol.State]int // subscriptions in each state, deleted ones among them
	Debtors []protocol.Debtor      // that owe most, or were asked for
	Alerts  AlertCounts            // since the start

	Shards   int              // in the present layout; 0: it is not known yet
	Leads    []ShardCondition // those that this replica leads or takes over, by number
	Replicas int              // that are alive, as far as this one sees

	taken event.Ref // of a single seat
}

// ShardCondition is what a Replica says of a shard that it leads or takes over.
type ShardCondition struct {
	Shard int
	Role  Role
	Epoch uint64
	Owed  int       // deliveries
	Taken event.Ref // the last event that the feed has brought; Time 0: none in this term
}

// Replica is one process of the bridge: it has a seat for each shard, which
// stands by, leads a term when the shard's lease falls to it, and hands over.
type Replica struct {
	o         Options
	layout    layouts
	peers     peers
	following *following
	crew      atomic.Pointer[crew]   // of the present layout; nil: it is not known yet
	lacks     atomic.Pointer[string] // why it is not known

	alerts alertCounts

	mu    sync.Mutex
	past  []*crew          // those that still hand over
	total protocol.Figures // counts of those that are over
}

// New checks the options.
func New(o Options) (*Replica, error) {
	for name, missing := range map[string]bool{
		"Seat": o.Seat == nil, "Layout": o.Layout == nil, "Shards": o.Shards == nil, "Records": o.Records == nil,
		"Statuses":    o.Statuses == nil,
		"DeadLetters": o.DeadLetters == nil, "Clock": o.Clock == nil, "Decoder": o.Decoder == nil, "Parse": o.Parse == nil,
		"Publisher": o.Publisher == nil, "Holder": o.Holder == "",
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
	if o.Preview == nil {
		o.Preview = noPreview
	}
	if o.ShutdownTimeout == 0 {
		o.ShutdownTimeout = 20 * time.Second
	}
	r := &Replica{o: o, peers: peers{began: o.Clock.Now().UTC()}}
	r.layout.changed = make(chan struct{}, 1)
	r.following = newFollowing(&r.o)
	return r, nil
}

// Run stands by and leads until ctx ends; then it hands over, which takes at
// most ShutdownTimeout. It returns nil after a graceful stop. After Run
// returns nothing of it runs any more.
func (r *Replica) Run(ctx context.Context) error {
	l, err := r.firstLayout(ctx)
	if err != nil {
		return nil //nolint:nilerr // stopped before it had begun
	}
	r.warnOfCount(l)
	if err := r.beat(ctx); err != nil && ctx.Err() == nil {
		r.o.Logger.Debug("the heartbeat failed", "error", err)
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx)) // a term that stops hears of records, too
	var records sync.WaitGroup
	records.Go(func() { r.following.run(following) })
	defer records.Wait()
	defer stop()
	seats, ctx := errgroup.WithContext(ctx)
	var beside sync.WaitGroup
	for _, part := range []func(context.Context){r.followLayout, r.follow, r.tend} {
		beside.Go(func() { part(ctx) })
	}
	beside.Go(func() { r.lineUp(ctx, seats, l) })
	beside.Wait()
	err = seats.Wait()
	r.endBeat()
	return err
}

// lineUp has the crew of each layout that comes begin and leave.
func (r *Replica) lineUp(ctx context.Context, g *errgroup.Group, l protocol.Layout) {
	for {
		select { // what changed until now is in l
		case <-r.layout.changed:
			l = *r.layout.get()
		default:
		}
		c := r.begin(ctx, g, l)
		r.crew.Store(c)
		select {
		case <-ctx.Done():
			return
		case <-r.layout.changed:
		}
		l = *r.layout.get()
		r.readAhead(ctx, l)
		if ctx.Err() != nil {
			return // the crew hands over because the replica stops
		}
		r.retire(c)
		l = *r.layout.get()
		r.o.Logger.Info("there is another layout: its shards are led by whoever wins them", "layout", l.Generation, "shards", l.Shards)
	}
}

// readAhead reads the records for the shards of another layout while those of the
// present one go on, so that they stand still for a moment only.
func (r *Replica) readAhead(ctx context.Context, l protocol.Layout) {
	r.following.stand(l)
	for began := r.o.Clock.Boot(); !r.following.ready() && r.o.Clock.Boot()-began < limits.ReadAhead; {
		if rest(ctx, limits.ReadAheadLook) != nil || !r.layout.get().Same(l) {
			return
		}
	}
}

// retire lets a crew hand over, and keeps its counts.
func (r *Replica) retire(c *crew) {
	r.mu.Lock()
	r.past = append(r.past, c)
	r.mu.Unlock()
	c.leave()
	go func() {
		<-c.over
		r.mu.Lock()
		defer r.mu.Unlock()
		r.past = slices.DeleteFunc(r.past, func(x *crew) bool { return x == c })
		for _, s := range c.seats {
			r.total = s.condition().Figures.Plus(r.total)
		}
		r.total = counts(r.total)
	}()
}

// warnOfCount tells that the setting is not what there is.
func (r *Replica) warnOfCount(l protocol.Layout) {
	if n := r.o.ShardCount; n > 0 && n != l.Shards {
		r.o.Logger.Warn(fmt.Sprintf("ORDERBRIDGE_SHARDS is %d, which only counts where nothing is there yet; there are %s: `orderbridge shards set %d` changes it",
			n, shardsOf(l.Shards), n))
	}
}

func shardsOf(n int) string {
	if n == 1 {
		return "1 shard"
	}
	return fmt.Sprint(n, " shards")
}
