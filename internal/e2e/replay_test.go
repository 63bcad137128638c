package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// replaying is a subscription that has heard some events.
type replaying struct {
	*redrive
	orders, changes int
}

// heard publishes the changes of some orders, which a subscription hears.
func heard(t *testing.T, orders, changes int, members ...string) (*replaying, *program) {
	bus := lab.ListenBus(t)
	r := &replaying{&redrive{t, bus, jetStream(t, bus.URL()), receive(t, nil)}, orders, changes}
	p := serving(t, bus.URL())
	subscribe(t, r.js, "s", recordFor(r.e, members...))
	for n := range changes {
		for o := range orders {
			publishOne(t, r.js, "o"+strconv.Itoa(o), n+1)
		}
	}
	r.e.came(t, orders*changes)
	await(t, 2*time.Minute, "all is settled", func() bool { return len(owedKeys(t, r.js)) == 0 })
	return r, p
}

// begin begins a replay, with these flags.
func (r *replaying) begin(flags ...string) bridge.Replay {
	r.t.Helper()
	var a store.ReplayAnswer
	r.read(&a, append([]string{"replay", "s", "-o", "json"}, flags...)...)
	if a.Replay == nil {
		r.t.Fatal("no replay has begun")
	}
	return *a.Replay
}

func (r *replaying) read(into any, args ...string) {
	r.t.Helper()
	if out := r.run(0, args...); json.Unmarshal([]byte(out), into) != nil {
		r.t.Fatalf("%v:\n%s", args, out)
	}
}

func (r *replaying) shows(id string) (x bridge.Replay) {
	r.t.Helper()
	r.read(&x, "replays", "show", id)
	return x
}

// ends waits for the end of a replay.
func (r *replaying) ends(id string) (x bridge.Replay) {
	r.t.Helper()
	await(r.t, 5*time.Minute, "the replay ends", func() bool {
		x = r.shows(id)
		return x.State != bridge.ReplayRunning
	})
	return x
}

// replayed are the hits of a replay.
func (r *replaying) replayed(id string) (hits lab.Journal) {
	for _, h := range r.e.Journal() {
		if h.Header.Get("X-Replay-Id") == id && h.Header.Get("X-Replay") == "true" {
			hits = append(hits, h)
		}
	}
	return hits
}

// inOrder holds the changes of each order against their order, repeats left out.
func (r *replaying) inOrder(hits lab.Journal) (sent, repeats int) {
	r.t.Helper()
	last, seen := map[string]int{}, map[string]bool{}
	for _, h := range hits {
		key := h.Order + "/" + strconv.Itoa(h.N)
		if seen[key] {
			repeats++
			continue
		}
		if seen[key] = true; h.N <= last[h.Order] {
			r.t.Errorf("change %d of %s came after %d", h.N, h.Order, last[h.Order])
		}
		last[h.Order] = h.N
		sent++
	}
	return sent, repeats
}

// A replay beside live traffic, whose bridge is killed in the middle: it goes on,
// every event comes, in order, and at most what was sent in the last moment twice.
func TestReplayGoesOnAfterAKill(t *testing.T) {
	t.Parallel()
	const orders, changes, rate = 5, 40, 60
	r, p := heard(t, orders, changes)
	original := map[string]string{}
	for _, h := range r.e.Journal() {
		original[h.Order+"/"+strconv.Itoa(h.N)] = h.Header.Get("Webhook-Id")
	}

	var dry store.ReplayAnswer
	r.read(&dry, "replay", "s", "--from-seq", "1", "--order", "o1", "--dry-run", "-o", "json")
	if dry.Replay != nil || dry.Count.Matches != changes || dry.Count.Looked != orders*changes || len(dry.Count.Sample) != 10 || dry.Count.Sample[0].DeliveryID != original["o1/1"] {
		t.Errorf("the dry run says %+v", dry.Count)
	}
	id := r.begin("--from-seq", "1", "--rate", fmt.Sprintf("%d/s", rate)).ID
	if out := r.run(1, "replay", "s", "--since", "1h"); !strings.Contains(out, "runs already") {
		t.Errorf("a second replay: %s", out)
	}
	live := publishFlow(t, r.js, 20, 2)
	await(t, 2*time.Minute, "a third is sent", func() bool { return len(r.replayed(id)) > orders*changes/3 })
	p.kill()
	before := len(r.replayed(id))
	p = launch(t, "ORDERBRIDGE_NATS_URL="+r.bus.URL())
	done := r.ends(id)
	hits := r.replayed(id)
	sent, repeats := r.inOrder(hits)
	if sent != orders*changes || done.State != bridge.ReplayDone || done.Next != uint64(orders*changes+1) || before == sent {
		t.Errorf("%d of %d came, %d before the kill; it ends as %+v", sent, orders*changes, before, done)
	}
	if repeats > 2*rate {
		t.Errorf("%d were sent again", repeats)
	}
	for _, h := range hits {
		if want := original[h.Order+"/"+strconv.Itoa(h.N)]; h.Header.Get("Webhook-Id") != want {
			t.Errorf("change %d of %s was replayed as %s, it was %s", h.N, h.Order, h.Header.Get("Webhook-Id"), want)
		}
	}
	live.stop()
	p.stop()
}

// A replay is stopped, with others ids than before; then one waits for nobody any
// more when its record goes.
func TestReplayIsStopped(t *testing.T) {
	t.Parallel()
	r, _ := heard(t, 4, 10)
	x := r.begin("--since", "1h", "--rate", "5/s", "--ids", "new")
	await(t, 2*time.Minute, "some are sent", func() bool { return len(r.replayed(x.ID)) > 2 })
	if id := r.replayed(x.ID)[0].Header.Get("Webhook-Id"); !strings.HasPrefix(id, "replay-") {
		t.Errorf("the id is %q", id)
	}
	if out := r.run(0, "replays", "stop", x.ID); !strings.Contains(out, "stopped") {
		t.Errorf("stop says %s", out)
	}
	n := len(r.replayed(x.ID))
	if got := r.shows(x.ID); got.State != bridge.ReplayStopped || got.Sent > n || !strings.HasPrefix(got.Why, "stopped by ") || got.By == "" {
		t.Errorf("after %d were sent it is %+v", n, got)
	}
	r.run(1, "replays", "stop", x.ID)
	if out := r.run(0, "replays", "list", "s"); !strings.Contains(out, x.ID) {
		t.Errorf("list:\n%s", out)
	}

	// What cannot be delivered becomes a dead letter; a record that goes ends it.
	r.e.Reply(lab.Always(http.StatusNotFound))
	y := r.begin("--from-seq", "1", "--order", "o1", "--rate", "1/h")
	remove(t, r.js, "s")
	if got := r.ends(y.ID); got.State != bridge.ReplayStopped || !strings.Contains(got.Why, "deleted") {
		t.Errorf("of a deleted record: %+v", got)
	}
}

// What a replay cannot deliver becomes a dead letter, and can be put back.
func TestReplayOfWhatFails(t *testing.T) {
	t.Parallel()
	r, _ := heard(t, 2, 3, twoRetries)
	r.e.Reply(func(h *lab.Hit) int {
		if h.Order == "o1" && h.N == 2 && h.Header.Get("X-Redrive") == "" {
			return http.StatusNotFound
		}
		return http.StatusOK
	})
	x := r.ends(r.begin("--from-seq", "1").ID)
	if x.State != bridge.ReplayDone || x.Sent != 5 || x.Failed != 1 {
		t.Errorf("it ends as %+v", x)
	}
	if out := r.run(0, "dead-letters", "list", "s", "--reason", "replay "+x.ID); !strings.Contains(out, "404") {
		t.Errorf("the dead letters:\n%s", out)
	}
	r.run(0, "dead-letters", "redrive", "--subscription", "s", "--order", "o1")
	await(t, 2*time.Minute, "the letter is delivered", func() bool { return deadLetters(t, r.js) == 0 })
}

// A subscription is set back: everything comes once more, in order, under the same
// ids, and what is published meanwhile after it.
func TestRewind(t *testing.T) {
	t.Parallel()
	r, _ := heard(t, 3, 10)
	first := r.e.Journal()
	if out := r.run(2, "rewind", "s", "--to-seq", "10"); !strings.Contains(out, "21 events from sequence 10 on") {
		t.Errorf("without --yes: %s", out)
	}
	if out := r.run(0, "rewind", "s", "--to-seq", "10", "--yes"); !strings.Contains(out, "21 events owed again") {
		t.Errorf("rewind says %s", out)
	}
	publishOne(t, r.js, "o1", 11)
	r.e.came(t, 30+21+1)
	again := r.e.Since(30)
	sent, repeats := r.inOrder(again)
	if sent != 22 || repeats != 0 {
		t.Errorf("%d came, %d of them twice", sent, repeats)
	}
	ids := map[string]bool{}
	for _, h := range first {
		ids[h.Header.Get("Webhook-Id")] = true
	}
	for _, h := range again {
		if !ids[h.Header.Get("Webhook-Id")] && h.N != 11 || h.Header.Get("X-Replay") != "" {
			t.Errorf("change %d of %s came as %v", h.N, h.Order, h.Header)
		}
	}
	await(t, 2*time.Minute, "the audit tells it", func() bool {
		out, _ := command(t, r.bus.URL(), "", "audit", "--action", "rewind")
		return strings.Contains(out, "from=10")
	})
}

// Fifty dead letters of five orders, put back at once: the changes of each order
// come in their order, one after the other, though some fail once more.
func TestManyLettersAreRedrivenInOrder(t *testing.T) {
	t.Parallel()
	const orders, changes = 5, 10
	bus := lab.ListenBus(t)
	r := &replaying{&redrive{t, bus, jetStream(t, bus.URL()), receive(t, lab.Always(http.StatusGone))}, orders, changes}
	serving(t, bus.URL())
	subscribe(t, r.js, "s", `{"targetURL":"`+r.e.URL+`/hook/{orderId}",`+quickRetries+`}`)
	for n := range changes {
		for o := range orders {
			publishOne(t, r.js, "o"+strconv.Itoa(o), n+1)
		}
	}
	await(t, 2*time.Minute, "all are dead letters", func() bool { return deadLetters(t, r.js) == orders*changes })
	r.e.Reply(func(h *lab.Hit) int {
		if h.Order == "o1" && h.Header.Get("X-Attempt") == "1" || h.Order == "o2" && h.N == 3 && h.Header.Get("X-Attempt") < "4" {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	began := r.e.Count()
	out := r.run(0, "dead-letters", "redrive", "--subscription", "s", "--reason", "410")
	if n := strings.Count(out, "owed again by s"); n != orders*changes {
		t.Errorf("%d were put back:\n%s", n, out)
	}
	if out := r.run(0, "dead-letters", "redrive", "--all"); strings.Contains(out, "refused") {
		t.Errorf("once more:\n%s", out)
	}
	await(t, 2*time.Minute, "all are delivered", func() bool { return deadLetters(t, r.js) == 0 && len(owedKeys(t, r.js)) == 0 })
	var taken lab.Journal
	for _, h := range r.e.Since(began) {
		if h.Status == http.StatusOK {
			taken = append(taken, h)
		}
	}
	if sent, repeats := r.inOrder(taken); repeats != 0 || sent != orders*changes {
		t.Errorf("%d were taken, %d of them twice", sent, repeats)
	}
}
