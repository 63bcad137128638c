package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// testbed is a server, a bridge and endpoints.
type testbed struct {
	settings
	dir    string
	bus    *lab.Cluster
	nc     *nats.Conn
	js     jetstream.JetStream
	bridge *lab.Program
	env    []string

	endpoints []*endpoint
}

func newTestbed(ctx context.Context, s settings, dir string) (*testbed, error) {
	w := &testbed{settings: s, dir: dir}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	if w.bus, err = lab.StartCluster(ctx,
		lab.ClusterOptions{Nodes: 1, Dir: dir, Command: []string{self, nodeRole}}); err != nil {
		return w, err
	}
	if w.nc, err = nats.Connect(w.bus.URL(0)); err != nil {
		return w, fmt.Errorf("connect: %w", err)
	}
	if w.js, err = jetstream.New(w.nc, jetstream.WithPublishAsyncMaxPending(256)); err != nil {
		return w, err
	}
	if w.env, err = lab.Environment(filepath.Join(dir, "roots.pem"), "ORDERBRIDGE_NATS_URL="+w.bus.URL(0),
		"ORDERBRIDGE_LOG_LEVEL=warn"); err != nil {
		return w, err
	}
	if w.bridge, err = w.launch("bridge"); err != nil {
		return w, err
	}
	return w, w.until(ctx, time.Minute, "the bridge leads", func() bool {
		kv, err := w.js.KeyValue(ctx, "lease")
		if err != nil {
			return false
		}
		_, err = kv.Get(ctx, "leader")
		return err == nil
	})
}

// launch starts a bridge.
func (w *testbed) launch(name string) (*lab.Program, error) {
	return lab.Serve(lab.Command{Name: name, Path: w.settings.bridge, Env: w.env, Dir: w.dir,
		Log: filepath.Join(w.dir, name+".log")})
}

// stopFirst ends the first bridge by SIGTERM; the second is the one of the testbed from then on.
func (w *testbed) stopFirst(second *lab.Program) (took time.Duration, err error) {
	first := w.bridge
	w.bridge = second
	start := time.Now()
	err = first.Stop(2 * time.Minute)
	return time.Since(start), err
}

func (w *testbed) close() (err error) {
	for _, e := range w.endpoints {
		_ = e.Close() // the part ends
	}
	if w.bridge != nil {
		err = w.bridge.Stop(30 * time.Second)
	}
	if w.nc != nil {
		w.nc.Close()
	}
	if w.bus != nil {
		w.bus.Close()
	}
	return err
}

// until polls.
func (w *testbed) until(ctx context.Context, within time.Duration, what string, ok func() bool) error {
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			return fmt.Errorf("not within %s: %s", within, what)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-w.bridge.Ended():
			return fmt.Errorf("the bridge has ended\n%s", w.bridge.LastLines(20))
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// wait lets time pass.
func (w *testbed) wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// ---- records

// put stores records, many at a time, and returns when each was confirmed.
func (w *testbed) put(ctx context.Context, values map[string]string) (map[string]time.Time, error) {
	type sent struct {
		id  string
		ack jetstream.PubAckFuture
	}
	confirmed := map[string]time.Time{}
	var under []sent
	settle := func(n int) error {
		for len(under) > n {
			s := under[0]
			under = under[1:]
			select {
			case <-s.ack.Ok():
				confirmed[s.id] = time.Now()
			case err := <-s.ack.Err():
				return fmt.Errorf("put %s: %w", s.id, err)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	}
	for id, value := range values {
		ack, err := w.js.PublishAsync("$KV.subscriptions."+id, []byte(value))
		if err != nil {
			return nil, fmt.Errorf("put %s: %w", id, err)
		}
		under = append(under, sent{id, ack})
		if err := settle(200); err != nil {
			return nil, err
		}
	}
	return confirmed, settle(0)
}

// states counts the states that the statuses tell.
func (w *testbed) states(ctx context.Context) (map[string]int, error) {
	kv, err := w.js.KeyValue(ctx, "subscription_status")
	if err != nil {
		return nil, err
	}
	watch, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer watch.Stop()
	states := map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case e := <-watch.Updates():
			if e == nil {
				return states, nil
			}
			var s struct{ State string }
			if strings.HasPrefix(e.Key(), "fence.") || json.Unmarshal(e.Value(), &s) != nil {
				continue
			}
			states[s.State]++
		}
	}
}

// reach waits until n subscriptions are in one of the states.
func (w *testbed) reach(ctx context.Context, within time.Duration, n int, states ...string) error {
	last := map[string]int{}
	err := w.until(ctx, within, fmt.Sprintf("%d subscriptions %v", n, states), func() bool {
		got, err := w.states(ctx)
		if err != nil {
			return false
		}
		last = got
		sum := 0
		for _, s := range states {
			sum += got[s]
		}
		return sum >= n
	})
	if err != nil {
		return fmt.Errorf("%w; they are %v", err, last)
	}
	return nil
}

// ---- events

// publish stores n events, at rate a second or (0) as fast as it goes; event i
// is the nth change of an order, published for a topic.
func (w *testbed) publish(ctx context.Context, n, rate int, event func(i int) (topic, order string, n int)) error {
	start := time.Now()
	var under []jetstream.PubAckFuture
	settle := func(most int) error {
		for len(under) > most {
			select {
			case <-under[0].Ok():
			case err := <-under[0].Err():
				return fmt.Errorf("publish: %w", err)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			under = under[1:]
		}
		return nil
	}
	for i := range n {
		if rate > 0 {
			if err := w.wait(ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate)))); err != nil {
				return err
			}
		}
		topic, order, k := event(i)
		data := fmt.Appendf(nil, `{"orderId":%q,"eventType":"OrderChanged","n":%d,"sent":%d}`, order, k,
			time.Now().UnixNano())
		ack, err := w.js.PublishAsync("orders."+topic+".OrderChanged."+order, data)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		under = append(under, ack)
		if err := settle(200); err != nil {
			return err
		}
	}
	return settle(0)
}

// written is the last sequence of each stream that the bridge writes.
func (w *testbed) written(ctx context.Context) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, name := range []string{"KV_owed", "KV_subscription_status", "KV_lease", "DEAD_LETTERS"} {
		s, err := w.js.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		info, err := s.Info(ctx)
		if err != nil {
			return nil, err
		}
		out[name] = info.State.LastSeq
	}
	return out, nil
}
