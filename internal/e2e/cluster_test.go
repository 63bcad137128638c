package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/health"
	"orderbridge/internal/lab"
)

// clusterNode is the command that runs a server of a cluster.
const clusterNode = "cluster-node"

// clustered starts three servers as one.
func clustered(t *testing.T) *lab.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	turn(t)
	c, err := lab.StartCluster(within(t, lab.Patience), lab.ClusterOptions{Dir: t.TempDir(), Command: []string{clusterNode}})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leading waits until one of the bridges leads and returns it, and the others.
func leading(t *testing.T, all ...*program) (leader *program, others []*program) {
	t.Helper()
	await(t, 60*time.Second, "one of the bridges leads", func() bool {
		for i, p := range all {
			select {
			case <-p.Ended():
				continue
			default:
			}
			if r, _ := p.readyz(); r.Role == health.RoleLeader {
				leader = p
				others = append(append([]*program(nil), all[:i]...), all[i+1:]...)
				return true
			}
		}
		return false
	})
	return leader, others
}

// firstAfter waits for a request that came after the time, and returns it.
func firstAfter(t *testing.T, e *receiver, after time.Time) lab.Hit {
	t.Helper()
	var found lab.Hit
	await(t, 60*time.Second, "a request", func() bool {
		journal := e.Journal()
		for i := len(journal) - 1; i >= 0 && journal[i].At.After(after); i-- {
			found = journal[i]
		}
		return !found.At.IsZero()
	})
	return found
}

// Issue 5.4 with bridges that fail, on three servers: killed, stopped, asleep.
func TestBridgesFailOnACluster(t *testing.T) {
	t.Parallel()
	c := clustered(t)
	js := jetStream(t, c.URL(0))
	e := receive(t, shaky)
	env := []string{"ORDERBRIDGE_NATS_URL=" + c.URLs()}
	all := []*program{launch(t, env...), launch(t, env...), launch(t, env...)}
	leader, others := leading(t, all...)
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 100, 8)
	e.came(t, 100)
	for _, p := range others { // else nobody takes over at once
		p.said(60*time.Second, "standing by")
	}

	crash := killed(t, e, leader)
	all = append(all, launch(t, env...))
	leader, others = leading(t, append(others, all[3])...)
	flowGoesOn(t, e, "after the crash")
	stoppedWithoutAPause(t, e, leader, others)
	leader, others = leading(t, others...)
	asleep := sleepsThroughItsLease(t, e, leader, others[0], f)
	repeatsAreExcused(t, e, f.check(t, e), all, crash, asleep)
}

// flowGoesOn waits for more deliveries.
func flowGoesOn(t *testing.T, e *receiver, when string) {
	t.Helper()
	at := e.Delivered()
	await(t, 60*time.Second, "the flow goes on "+when, func() bool { return e.Delivered() > at+100 })
}

// killed kills the leader; another delivers.
func killed(t *testing.T, e *receiver, leader *program) (crash time.Time) {
	t.Helper()
	crash = time.Now()
	leader.kill()
	again := firstAfter(t, e, crash.Add(200*time.Millisecond)) // what was sent before may come a little later
	lab.Promise(t, "until another delivers after a crash", again.At.Sub(crash), 15*time.Second)
	return crash
}

// stoppedWithoutAPause stops the leader; the others go on at once.
func stoppedWithoutAPause(t *testing.T, e *receiver, leader *program, others []*program) {
	t.Helper()
	others[0].said(30*time.Second, "standing by")
	others[1].said(30*time.Second, "standing by")
	stopped := time.Now()
	leader.stop()
	flowGoesOn(t, e, "after the stop")
	pause := e.Journal().Gap(stopped, time.Now())
	lab.Promise(t, "without a request around a graceful stop", pause, 3*time.Second) // 1 s, and what three servers in the same machine add
}

// sleepsThroughItsLease: the leader sleeps until another leads, and begins nothing
// when it wakes.
func sleepsThroughItsLease(t *testing.T, e *receiver, leader, other *program, f *flow) (asleep time.Time) {
	t.Helper()
	asleep = time.Now()
	leader.Signal(syscall.SIGSTOP)
	before := map[string]bool{} // connections of the one that sleeps
	for _, h := range e.Journal() {
		before[h.Remote] = true
	}
	other.leads()
	t.Logf("asleep: another leads after %s", time.Since(asleep).Round(time.Millisecond))
	awake := time.Now()
	leader.Signal(syscall.SIGCONT)
	leader.said(20*time.Second, "leadership lost")
	flowGoesOn(t, e, "after it woke")
	f.arrives(t, e)
	late := 0
	for _, h := range e.Journal() {
		if h.At.After(awake) && before[h.Remote] {
			late++
		}
	}
	t.Logf("%d requests came from the one that had slept", late)
	// Between its last look at the clock and the write when it was stopped: one for each processor.
	if late > runtime.NumCPU() {
		t.Errorf("%d requests came from the one that had slept after its lease had passed", late)
	}
	return asleep
}

// repeatsAreExcused by one of the faults, or by a lease that was not renewed in time:
// only what was sent before it comes again.
func repeatsAreExcused(t *testing.T, e *receiver, repeats []lab.Repeat, programs []*program, faults ...time.Time) {
	t.Helper()
	for _, p := range programs {
		faults = append(faults, p.losses()...)
	}
	oldest := time.Duration(0)
	for _, r := range repeats {
		age, excused := time.Hour, false
		for _, fault := range faults {
			if r.Again.At.After(fault) && r.First.At.Before(fault.Add(10*time.Second)) { // it may come late
				age, excused = min(age, max(0, fault.Sub(r.First.Ended))), true
			}
		}
		if !excused {
			t.Errorf("%s %d came again at %s, %s after it had arrived", r.Again.Order, r.Again.N, r.Again.At.Format("05.000"), r.Again.At.Sub(r.First.Ended))
		}
		oldest = max(oldest, age)
	}
	t.Logf("%d events, %d requests, %d repeats", e.Delivered(), e.Count(), len(repeats))
	if len(repeats) > 0 {
		lab.Promise(t, "how long before a fault was delivered what came again", oldest, 1500*time.Millisecond)
	}
}

// Issue 5.4 with servers that fail: nothing is lost, whatever happens to one of
// three.
func TestServersFailUnderTwoBridges(t *testing.T) {
	t.Parallel()
	c := clustered(t)
	js := jetStream(t, c.URL(0)) // servers 1 and 2 fail
	e := receive(t, shaky)
	env := []string{"ORDERBRIDGE_NATS_URL=" + c.URLs()}
	p, second := launch(t, env...), launch(t, env...)
	leading(t, p, second)
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 100, 8)
	e.came(t, 100)

	phase := func(what string, harm func()) {
		t.Helper()
		from := time.Now()
		harm()
		if err := c.Ready(within(t, 60*time.Second)); err != nil {
			t.Fatal(err)
		}
		flowGoesOn(t, e, "after: "+what)
		t.Logf("%s: %s without a request at most", what, e.Journal().Gap(from, time.Now()).Round(time.Millisecond))
	}
	phase("the server of the lease killed, started 3 s later", func() {
		victim := leaderOf(t, js, "KV_lease")
		if victim == 0 {
			stepDown(t, js, "KV_lease")
			victim = max(1, leaderOf(t, js, "KV_lease"))
		}
		c.Kill(victim)
		<-time.After(3 * time.Second) // how long it is away is what is tested
		if err := c.Run(victim); err != nil {
			t.Fatal(err)
		}
	})
	phase("the leader of each stream moved", func() {
		for _, stream := range []string{"ORDERS", "KV_lease", "KV_owed", "KV_subscription_status", "KV_subscriptions", "DEAD_LETTERS"} {
			stepDown(t, js, stream)
		}
	})
	phase("server 1 cut off from the others for 8 s", func() {
		c.Isolate(1, true)
		<-time.After(8 * time.Second) // how long it is away is what is tested
		c.Isolate(1, false)
	})
	f.arrives(t, e)
	repeats := f.check(t, e)
	t.Logf("%d events, none lost, %d requests, %d repeats", e.Delivered(), e.Count(), len(repeats))
}

// A server that is cut off from the others still answers pings. A bridge that
// is connected to it alone goes to another one.
func TestBridgeLeavesAServerThatIsCutOff(t *testing.T) {
	t.Parallel()
	c := clustered(t)
	js := jetStream(t, c.URL(0))
	e := receive(t, nil)
	ways, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 2} {
		ways.Refuse(i, true) // until it has connected to server 1
	}
	p := serving(t, ways.URLs())
	for _, i := range []int{0, 2} {
		ways.Refuse(i, false)
	}
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	c.Isolate(1, true)
	cutOff := time.Now()
	publishOne(t, js, "a", 2)
	p.said(40*time.Second, "another of its servers is tried")
	e.came(t, 2)
	t.Logf("delivers again %s after its server was cut off", time.Since(cutOff).Round(time.Millisecond))
	c.Isolate(1, false)
}

// leaderOf is the number of the server that leads a stream.
func leaderOf(t *testing.T, js jetstream.JetStream, stream string) int {
	t.Helper()
	node := -1
	await(t, 20*time.Second, "stream "+stream+" has a leader", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s, err := js.Stream(ctx, stream)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		_, err = fmt.Sscanf(s.CachedInfo().Cluster.Leader, "node%d", &node)
		return err == nil
	})
	return node
}

// stepDown moves the leader of a stream.
func stepDown(t *testing.T, js jetstream.JetStream, stream string) {
	t.Helper()
	await(t, 20*time.Second, "the leader of "+stream+" steps down", func() bool {
		m, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 2*time.Second)
		if err != nil {
			return false
		}
		var answer struct{ Success bool }
		return json.Unmarshal(m.Data, &answer) == nil && answer.Success && !strings.Contains(string(m.Data), `"error"`)
	})
}
