package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bench/torture/journal"
	"orderbridge/internal/lab"
)

// harm is one thing that the nemesis does. It mends what it broke, also when
// ctx ends, before it returns; all is the context of the mending. The fault that
// it fills says what was done.
type harm struct {
	kind   string
	weight int
	do     func(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error
}

// repeatHarms does one harm after another until ctx ends, with some peace between
// them, in which nothing excuses a repeat.
func (w *testbed) repeatHarms(ctx, all context.Context, harms []harm, part uint64) error {
	rng := w.chance(part)
	total := 0
	for _, h := range harms {
		total += h.weight
	}
	for {
		if !pause(ctx, between(rng, 2, 7)) {
			return nil
		}
		x, h := rng.IntN(total), harms[0]
		for _, h = range harms {
			if x -= h.weight; x < 0 {
				break
			}
		}
		f := journal.Fault{Kind: h.kind, From: time.Now()}
		err := h.do(ctx, all, rng, &f)
		if f.Until.IsZero() {
			f.Until = time.Now()
		}
		w.log.Info(h.kind, "what", f.Target, "took", f.Until.Sub(f.From).Round(time.Millisecond).String())
		w.note(f)
		if err != nil {
			return fmt.Errorf("%s %s: %w", f.Kind, f.Target, err)
		}
	}
}

// between is a time by chance, in seconds.
func between(rng *rand.Rand, from, to float64) time.Duration {
	return time.Duration((from + rng.Float64()*(to-from)) * float64(time.Second))
}

// pause waits; false: ctx has ended before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// victim is the leader more often than not.
func (w *testbed) victim(ctx context.Context, rng *rand.Rand, f *journal.Fault) *bridgeProc {
	i := rng.IntN(len(w.bridges))
	if rng.IntN(4) > 0 {
		i = w.leader(ctx, rng)
	}
	f.Target = w.bridges[i].name()
	return w.bridges[i]
}

// ---- bridges

func (w *testbed) bridgeFaults() []harm {
	return []harm{
		{"kill -9 bridge", 4, w.killBridge},
		{"stop bridge", 4, w.endBridge},
		{"pause bridge", 3, w.pauseBridge},
		{"kill -9 all bridges", 1, w.killAll},
		{"bridge cut off", 2, w.cutOff},
		{"bridge cut off from one server", 2, w.cutWay},
		{"another number of shards", 3, w.reshard},
		{"another number of shards, and kill -9 bridge", 2, w.reshardAndKill},
	}
}

func (w *testbed) killBridge(ctx, _ context.Context, rng *rand.Rand, f *journal.Fault) error {
	b := w.victim(ctx, rng, f)
	f.From, f.Excuse = time.Now(), true
	b.end(syscall.SIGKILL)
	f.Until = time.Now()
	pause(ctx, between(rng, 0, 6))
	return b.start()
}

// endBridge is a graceful stop, which repeats nothing; a bus that cannot be
// reached may spoil it, and the exit code says so.
func (w *testbed) endBridge(ctx, _ context.Context, rng *rand.Rand, f *journal.Fault) error {
	b := w.victim(ctx, rng, f)
	f.From = time.Now()
	f.Excuse = b.end(syscall.SIGTERM) != 0
	f.Until = time.Now()
	if f.Excuse {
		f.Target += " (not handed over)"
	}
	pause(ctx, between(rng, 0, 4))
	return b.start()
}

// pauseBridge stops a process and wakes it, often after its lease has passed.
func (w *testbed) pauseBridge(ctx, _ context.Context, rng *rand.Rand, f *journal.Fault) error {
	b := w.victim(ctx, rng, f)
	length := between(rng, 0.5, 5)
	if rng.IntN(2) == 0 {
		length = between(rng, 13, 18)
	}
	f.From, f.Excuse = time.Now(), true
	f.Until = f.From.Add(time.Second) // requests that were under way are answered
	f.Target += " for " + length.Round(time.Millisecond).String()
	b.signal(syscall.SIGSTOP)
	pause(ctx, length)
	b.signal(syscall.SIGCONT)
	return nil
}

func (w *testbed) killAll(ctx, _ context.Context, rng *rand.Rand, f *journal.Fault) error {
	f.From, f.Excuse = time.Now(), true
	for _, b := range w.bridges {
		b.signal(syscall.SIGKILL)
	}
	for _, b := range w.bridges {
		b.end(syscall.SIGKILL)
	}
	f.Until = time.Now()
	pause(ctx, between(rng, 0, 3))
	for _, b := range w.bridges {
		if err := b.start(); err != nil {
			return err
		}
	}
	return nil
}

func (w *testbed) cutOff(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	b := w.victim(ctx, rng, f)
	f.From, f.Excuse = time.Now(), true
	quiet := rng.IntN(2) == 0
	for i := range w.cluster.Nodes() {
		if quiet {
			b.ways.Silence(i, true)
		} else {
			b.ways.Refuse(i, true)
		}
	}
	length := between(rng, 0.2, 4)
	if rng.IntN(2) == 0 {
		length = between(rng, 8, 20)
	}
	f.Target += map[bool]string{true: " in silence", false: " with a reset"}[quiet]
	pause(ctx, length)
	for i := range w.cluster.Nodes() {
		b.ways.Silence(i, false)
		b.ways.Refuse(i, false)
	}
	return w.awaitRenewals(all)
}

func (w *testbed) cutWay(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	b := w.victim(ctx, rng, f)
	i := rng.IntN(w.cluster.Nodes())
	f.Target += fmt.Sprintf(" from node%d", i)
	f.From, f.Excuse = time.Now(), true
	b.ways.Silence(i, true)
	pause(ctx, between(rng, 1, 20))
	b.ways.Silence(i, false)
	return w.awaitRenewals(all)
}

// awaitRenewals waits until all leases are renewed after all is mended: until then the
// bus could not be reached.
func (w *testbed) awaitRenewals(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lab.Patience,
		errors.New("not all leases are renewed, long after all was mended"))
	defer cancel()
	return w.renewed(ctx)
}

// ---- servers

func (w *testbed) busFaults() []harm {
	return []harm{
		{"kill -9 server", 3, w.killServer},
		{"stop server", 2, w.stopServer},
		{"pause server", 2, w.pauseServer},
		{"server cut off", 3, w.isolate},
		{"leaders moved", 4, w.moveLeaders},
		{"ledger full", 2, w.fillLedger},
	}
}

// node chooses a server and waits afterwards until it is one of three again:
// more than one at a time is more than R3 can bear.
func (w *testbed) node(all context.Context, rng *rand.Rand, f *journal.Fault, harm func(i int) error) error {
	i := rng.IntN(w.cluster.Nodes())
	f.Target = fmt.Sprintf("node%d", i)
	f.From, f.Excuse = time.Now(), true
	if err := harm(i); err != nil {
		return err
	}
	return w.whole(all)
}

func (w *testbed) whole(all context.Context) error {
	ctx, cancel := context.WithTimeoutCause(all, lab.Patience,
		errors.New("the servers are not one cluster again, long after all was mended"))
	defer cancel()
	if err := w.cluster.Ready(ctx); err != nil {
		return err
	}
	return w.awaitRenewals(all)
}

func (w *testbed) killServer(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	return w.node(all, rng, f, func(i int) error {
		w.cluster.Kill(i)
		pause(ctx, between(rng, 0, 8))
		return w.cluster.Run(i)
	})
}

func (w *testbed) stopServer(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	return w.node(all, rng, f, func(i int) error {
		w.cluster.Stop(i)
		pause(ctx, between(rng, 0, 8))
		return w.cluster.Run(i)
	})
}

func (w *testbed) pauseServer(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	return w.node(all, rng, f, func(i int) error {
		w.cluster.Pause(i)
		pause(ctx, between(rng, 0.5, 12))
		w.cluster.Continue(i)
		return nil
	})
}

// isolate splits the cluster; bridges reach both sides.
func (w *testbed) isolate(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	return w.node(all, rng, f, func(i int) error {
		w.cluster.Isolate(i, true)
		pause(ctx, between(rng, 2, 20))
		w.cluster.Isolate(i, false)
		return nil
	})
}

var streams = []string{"ORDERS", "KV_lease", "KV_owed", "KV_subscription_status", "KV_subscriptions", "DEAD_LETTERS"}

// moveLeaders asks the leader of each stream, and of the feed's consumer, to
// step down.
func (w *testbed) moveLeaders(_, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	f.From, f.Excuse = time.Now(), true
	var moved []string
	for _, i := range rng.Perm(len(streams))[:1+rng.IntN(len(streams))] {
		if w.stepDown(all, "$JS.API.STREAM.LEADER.STEPDOWN."+streams[i]) == nil {
			moved = append(moved, streams[i])
		}
	}
	if rng.IntN(2) == 0 {
		if name := w.feed(all); name != "" && w.stepDown(all, "$JS.API.CONSUMER.LEADER.STEPDOWN.ORDERS."+name) == nil {
			moved = append(moved, name)
		}
	}
	f.Target = strings.Join(moved, " ")
	return w.awaitRenewals(all)
}

func (w *testbed) stepDown(ctx context.Context, subject string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return w.bus.anyhow(ctx, 0, func(ctx context.Context, js jetstream.JetStream) error {
		resp, err := js.Conn().RequestWithContext(ctx, subject, nil)
		if err != nil {
			return err
		}
		var answer struct {
			Success bool `json:"success"`
		}
		if err := json.Unmarshal(resp.Data, &answer); err != nil {
			return err
		}
		if !answer.Success {
			return fmt.Errorf("%s: %s", subject, resp.Data)
		}
		return nil
	})
}

// feed is the name of the bridge's durable.
func (w *testbed) feed(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	name := ""
	_ = w.bus.anyhow(ctx, 0, func(ctx context.Context, js jetstream.JetStream) error { // none is not a failure
		s, err := js.Stream(ctx, "ORDERS")
		if err != nil {
			return err
		}
		for n := range s.ConsumerNames(ctx).Name() {
			if strings.HasPrefix(n, "orderbridge-") {
				name = n
			}
		}
		return nil
	})
	return name
}

// fillLedger lowers the quota of the ledger to what it holds.
func (w *testbed) fillLedger(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	f.From, f.Excuse, f.Target = time.Now(), true, "KV_owed"
	usual := int64(0)
	quota := func(full bool) error {
		return w.bus.anyhow(all, 0, func(ctx context.Context, js jetstream.JetStream) error {
			s, err := js.Stream(ctx, "KV_owed")
			if err != nil {
				return err
			}
			info, err := s.Info(ctx)
			if err != nil {
				return err
			}
			cfg := info.Config
			if usual == 0 {
				usual = cfg.MaxBytes
			}
			cfg.MaxBytes = usual
			if full {
				cfg.MaxBytes = max(1, int64(info.State.Bytes))
			}
			_, err = js.UpdateStream(ctx, cfg)
			return err
		})
	}
	if err := quota(true); err != nil {
		return err
	}
	pause(ctx, between(rng, 1, 8))
	if err := quota(false); err != nil {
		return err
	}
	return w.awaitRenewals(all)
}
