package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bench/torture/journal"
	"orderbridge/internal/lab"
)

// testbed is everything that a run consists of.
type testbed struct {
	settings
	log       *slog.Logger
	dir       string
	cluster   *lab.Cluster
	bus       *bus
	bridges   []*bridgeProc
	endpoints *endpoints
	operator  *operator

	mu     sync.Mutex
	faults []journal.Fault
	terms  []journal.Term
}

const (
	bridges    = 3
	publishers = 8
)

// chance is the source of one part's decisions: what another part does does
// not change them.
func (s settings) chance(part uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, part)) }

// torture starts a testbed, disturbs it, mends it, and returns what was seen;
// nil if it did not even start. The directory holds its stores and logs.
func torture(ctx context.Context, s settings, log *slog.Logger) (j *journal.Journal, dir string, err error) {
	w := &testbed{settings: s, log: log, dir: s.dir}
	if w.dir == "" {
		if w.dir, err = os.MkdirTemp("", "torture-"); err != nil {
			return nil, "", err
		}
	} else if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return nil, "", err
	}
	defer w.close()
	if err := w.open(ctx); err != nil {
		return nil, w.dir, fmt.Errorf("start the testbed (%s): %w", w.dir, err)
	}
	j, err = w.run(ctx)
	return j, w.dir, err
}

func (w *testbed) open(ctx context.Context) error {
	w.log.Info("starts servers and bridges", "dir", w.dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if w.bridge, err = lab.Executable(ctx, w.bridge, w.dir); err != nil {
		return err
	}
	if w.endpoints, err = newEndpoints(w.chance(1)); err != nil {
		return err
	}
	starting, cancel := context.WithTimeoutCause(ctx, lab.Patience, errors.New("the servers take too long"))
	defer cancel()
	if w.cluster, err = lab.StartCluster(starting,
		lab.ClusterOptions{Dir: w.dir, Command: []string{self, nodeRole}}); err != nil {
		return err
	}
	if w.bus, err = newBus(w.cluster); err != nil {
		return err
	}
	for i := range bridges {
		b, err := newBridge(w.cluster, fmt.Sprintf("bridge%d", i), w.bridge, w.dir)
		if err != nil {
			return err
		}
		if err := b.start(); err != nil {
			return err
		}
		w.bridges = append(w.bridges, b)
	}
	w.operator = &operator{bus: w.bus, endpoints: w.endpoints, subs: subscriptions(), rng: w.chance(2)}
	return w.renewed(starting)
}

// renewed waits until the lease of each shard has been written twice from now on:
// then whoever leads it reaches the bus.
func (w *testbed) renewed(ctx context.Context) error {
	var of layout
	var last []lease
	var writes []int // seen of each
	for {
		l, now, err := w.bus.leases(ctx)
		if err == nil && (last == nil || of.G != l.G) {
			of, last, writes = l, now, make([]int, len(now))
		}
		if err == nil {
			for k, x := range now {
				if x.revision != last[k].revision && !x.Free {
					writes[k]++
				}
			}
			last = now
			if slices.Min(writes) >= 2 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not all shards are led: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// settled waits until the number of shards is what was wished last.
func (w *testbed) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lab.Patience, errors.New("the number of shards is not what was wished, long after all was mended"))
	defer cancel()
	for {
		if l, _, err := w.bus.leases(ctx); err == nil && l.Done && l.Want == 0 {
			return nil
		}
		if !pause(ctx, 100*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

func (w *testbed) close() {
	for _, b := range w.bridges {
		b.signal(syscall.SIGCONT)
		b.end(syscall.SIGKILL)
	}
	if w.bus != nil {
		w.bus.close()
	}
	if w.cluster != nil {
		w.cluster.Close()
	}
	if w.endpoints != nil {
		w.endpoints.close()
	}
}

// run disturbs the testbed and returns what was seen.
func (w *testbed) run(ctx context.Context) (*journal.Journal, error) {
	j := &journal.Journal{Seed: w.seed, Exact: w.times, Started: time.Now()}
	for _, s := range w.operator.subs {
		j.Subscriptions = append(j.Subscriptions, s.Subscription)
		if err := w.operator.do(ctx, s, journal.Put); err != nil {
			return nil, err
		}
	}
	var sources []*publisher
	for i := range publishers {
		sources = append(sources,
			&publisher{bus: w.bus, first: i, step: publishers, every: time.Second * publishers / time.Duration(w.rate)})
	}

	w.log.Info("tortures", "for", w.duration)
	disturbed, relief := context.WithTimeout(ctx, w.duration)
	defer relief()
	watching, enough := context.WithCancel(ctx)
	defer enough()
	var watch sync.WaitGroup
	watch.Go(func() { w.watchTerms(watching) })
	watch.Go(func() { w.supervise(watching) })
	g, all := errgroup.WithContext(ctx)
	for _, p := range sources {
		g.Go(func() error { return p.run(disturbed, all) })
	}
	g.Go(func() error { return w.operator.run(disturbed, all) })
	if !w.calm {
		g.Go(func() error { return w.repeatHarms(disturbed, all, w.bridgeFaults(), 3) })
		g.Go(func() error { return w.repeatHarms(disturbed, all, w.busFaults(), 4) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}

	w.log.Info("mended; waits for what is owed")
	w.endpoints.heal()
	if err := w.operator.restore(ctx); err != nil {
		return nil, err
	}
	for _, p := range sources {
		j.Events = append(j.Events, p.events...)
	}
	err := errors.Join(w.settled(ctx), w.arrives(ctx, j))
	w.operator.watching.Wait()
	for _, b := range w.bridges {
		if code := b.end(syscall.SIGTERM); code != 0 {
			err = errors.Join(err, fmt.Errorf("exit code %d of %s after SIGTERM, all being well", code, b.name()))
		}
		lost, unread := b.losses()
		if !w.times {
			w.faults = append(w.faults, lost...)
		}
		err = errors.Join(err, unread, b.crashed())
	}
	enough()
	watch.Wait()
	return j, errors.Join(err, w.fill(ctx, j))
}

// arrives waits until everything that must arrive has arrived, and a little
// longer for what must not.
func (w *testbed) arrives(ctx context.Context, j *journal.Journal) error {
	deadline := time.Now().Add(longest)
	missing := -1
	for {
		if err := w.snapshot(ctx, j); err != nil {
			return err
		}
		was := missing
		if missing = journal.Missing(j); missing == 0 {
			break
		}
		if missing != was {
			w.log.Info("waits", "missing", missing)
		}
		if time.Now().After(deadline) {
			w.log.Warn("waits no longer", "missing", missing)
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(2 * time.Second):
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(3 * time.Second): // so that what comes too much can come
	}
	return nil
}

// snapshot brings what changes in the journal up to date.
func (w *testbed) snapshot(ctx context.Context, j *journal.Journal) error {
	j.Ended = time.Now()
	j.Requests, j.Operations = w.endpoints.journal(), w.operator.journal()
	w.mu.Lock()
	j.Faults, j.Terms = append([]journal.Fault(nil), w.faults...), append([]journal.Term(nil), w.terms...)
	w.mu.Unlock()
	return w.letters(ctx, j)
}

// letters reads the dead letters.
func (w *testbed) letters(ctx context.Context, j *journal.Journal) error {
	generations := map[uint64]int{}
	for _, op := range j.Operations {
		if op.Kind == journal.Put {
			generations[op.Revision] = op.Generation
		}
	}
	j.Letters = nil
	return w.bus.all(ctx, "DEAD_LETTERS", func(m jetstream.Msg, _ *jetstream.MsgMetadata) error {
		var l struct {
			Subscription, DeliveryID, Reason string
			Generation, Sequence             uint64
			Time                             time.Time
			Event                            struct{ PublisherID string }
		}
		if err := json.Unmarshal(m.Data(), &l); err != nil {
			return fmt.Errorf("read a dead letter: %w", err)
		}
		event := l.Event.PublisherID
		if event == "" { // of a former build
			event, _, _ = strings.Cut(l.DeliveryID, ".")
		}
		j.Letters = append(j.Letters, journal.Letter{Time: l.Time, Subscription: l.Subscription,
			Generation: generations[l.Generation],
			Event:      event, ID: l.DeliveryID, Reason: l.Reason})
		return nil
	})
}

// fill takes down the end: the journal, and what the stream holds.
func (w *testbed) fill(ctx context.Context, j *journal.Journal) error {
	stored := map[string]uint64{}
	err := w.bus.all(ctx, "ORDERS", func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		stored[m.Headers().Get(nats.MsgIdHdr)] = meta.Sequence.Stream
		return nil
	})
	for i := range j.Events {
		j.Events[i].Stored = stored[j.Events[i].ID]
	}
	return errors.Join(err, w.snapshot(ctx, j))
}

// watchTerms writes down who leads which shard.
func (w *testbed) watchTerms(ctx context.Context) {
	epochs := map[string]uint64{}
	for {
		_, all, err := w.bus.leases(ctx)
		for _, l := range all {
			if err != nil || l.Epoch <= epochs[l.key] {
				continue
			}
			epochs[l.key] = l.Epoch
			w.log.Info("leads", "shard", l.key, "epoch", l.Epoch, "holder", w.nameOf(l))
			w.mu.Lock()
			w.terms = append(w.terms, journal.Term{Shard: l.key, Epoch: l.Epoch, Holder: w.nameOf(l), Seen: time.Now()})
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// supervise starts bridges again that have ended by themselves: the bus could
// not be reached for too long when they started. That excuses no repeat.
func (w *testbed) supervise(ctx context.Context) {
	for pause(ctx, time.Second) {
		for _, b := range w.bridges {
			died, err := b.revive()
			if err != nil {
				w.log.Error("a bridge cannot be started", "error", err)
			}
			if died {
				w.log.Info("ended by itself", "what", b.name())
				w.note(journal.Fault{Kind: "ended by itself", Target: b.name(), From: time.Now(), Until: time.Now()})
			}
		}
	}
}

func (w *testbed) note(f journal.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, f)
}

func (w *testbed) nameOf(l lease) string {
	for _, b := range w.bridges {
		if b.pid() == l.pid() {
			return b.name()
		}
	}
	return l.Holder
}

// leader returns the number of a bridge that leads a shard, or one by chance.
func (w *testbed) leader(ctx context.Context, rng *rand.Rand) int {
	by := rng.IntN(len(w.bridges))
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, all, err := w.bus.leases(ctx)
	if err != nil {
		return by
	}
	l := all[rng.IntN(len(all))]
	for i, b := range w.bridges {
		if b.pid() == l.pid() {
			return i
		}
	}
	return by
}
