package e2e

import (
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// X2: the id of a delivery has a fixed length and no dot, no publisher can
// choose it, and two changes that were published under one id are two
// deliveries; the publisher's id travels as X-Event-Id.
func TestContractX2NoPublisherChoosesAnID(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	stream, err := js.CreateStream(within(t, 10*time.Second), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Duplicates: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	e := receive(t, nil)
	serving(t, bus.URL())
	subscribe(t, js, "a", recordFor(e))
	subscribe(t, js, "b", recordFor(e))

	evil := fmt.Sprintf(`evil.%d.{"orderId":"x"}`, time.Now().Unix())
	publisherIDs := []string{"same", "same", evil, "", "ORDERS-1-1", "a b%\u00e4"}
	sent := 0
	for i, id := range publisherIDs {
		m := change("o", i+1)
		delete(m.Header, nats.MsgIdHdr)
		if id != "" {
			m.Header.Set(nats.MsgIdHdr, id)
		}
		// Outside the duplicate window it is a message of its own.
		await(t, 20*time.Second, "stored", func() bool {
			publishMsg(t, js, m)
			info, err := stream.Info(briefly(t, 5*time.Second))
			return err == nil && info.State.Msgs == uint64(i+1)
		})
		sent++
	}
	await(t, 20*time.Second, "all came", func() bool { return e.Delivered() == 2*sent })
	form := regexp.MustCompile(`^[a-z2-7]{32}$`)
	told := map[string]int{}
	for _, h := range e.Journal() {
		id := h.Header.Get("Webhook-Id")
		if !form.MatchString(id) || h.Header.Get("Idempotency-Key") != id {
			t.Errorf("Webhook-Id %q, Idempotency-Key %q", id, h.Header.Get("Idempotency-Key"))
		}
		told[h.Header.Get("X-Event-Id")]++
	}
	for id, n := range map[string]int{"same": 4, evil: 2, "": 2, "ORDERS-1-1": 2, "a%20b%25%C3%A4": 2} {
		if told[id] != n {
			t.Errorf("X-Event-Id %q came %d times, want %d: %v", id, told[id], n, told)
		}
	}
}

// What is owed when the stream is backed up, and delivered after it was
// restored, keeps its id: receivers can drop what they have had.
func TestIDsSurviveBackupAndRestore(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusServiceUnavailable))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT2S","PT2S","PT2S","PT2S","PT2S"]}`))
	last := publishOne(t, js, "o", 1)
	first := e.came(t, 1)
	acknowledged(t, js, last)
	p.stop()
	dir := filepath.Join(t.TempDir(), "backup")
	natsProgram(t, bus.URL(), "stream", "backup", "ORDERS", dir, "--no-progress")
	before := created(t, js)
	if err := js.DeleteStream(within(t, 10*time.Second), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	natsProgram(t, bus.URL(), "stream", "restore", dir, "--no-progress")
	e.Reply(nil)
	n := e.Count()
	serving(t, bus.URL())
	again := e.came(t, n+1)
	if again.Order != "o" || again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") {
		t.Errorf("after the restore %s came as %s, before as %s", again.Order, again.Header.Get("Webhook-Id"), first.Header.Get("Webhook-Id"))
	}
	if at := created(t, js); at.Equal(before) {
		t.Log("this server keeps a stream's time of creation") // then the test asks for less
	}
}

func created(t testing.TB, js jetstream.JetStream) time.Time {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().Created
}
