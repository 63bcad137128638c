package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// A tenant has large events that many of its records cannot judge: each becomes
// a dead letter of each record. They do not push the neighbour's out of the
// stream, and can still be redriven.
func TestAttackDeadLettersOfOthers(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	const most = 16 << 20
	if _, err := js.CreateStream(within(t, 10*time.Second), jetstream.StreamConfig{
		Name: "DEAD_LETTERS", Subjects: []string{"dead-letters.>"}, MaxBytes: most, AllowDirect: true, Duplicates: 2 * time.Minute,
	}); err != nil {
		t.Fatal(err)
	}
	p := serving(t, bus.URL())
	e := receive(t, nil)
	const blind = `"filter":"event.total > 100","ordering":"none"`
	subscribe(t, js, "neighbour", recordFor(e, blind, `"tenant":"nb"`))
	for i := range 20 {
		subscribe(t, js, fmt.Sprintf("evil%d", i), recordFor(e, blind, `"tenant":"evil"`))
	}
	send := func(subject string, size int) {
		publishMsg(t, js, &nats.Msg{Subject: subject, Data: []byte(`{"orderId":"1","x":"` + strings.Repeat("x", size) + `"}`)})
	}
	letters := func() (bytes, messages, first uint64) {
		stream, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
		if err != nil {
			return 0, 0, 0
		}
		s := stream.CachedInfo().State
		return s.Bytes, s.Msgs, s.FirstSeq
	}
	send("orders.nb.T.1", 50_000)
	await(t, 20*time.Second, "the neighbour has a dead letter", func() bool { _, n, _ := letters(); return n == 1 })
	for i := range 50 {
		send(fmt.Sprintf("orders.evil.T.%d", i), 100_000)
	}
	await(t, time.Minute, "there are all dead letters", func() bool { _, n, _ := letters(); return n >= 1001 })
	bytes, _, first := letters()
	t.Logf("1,000 letters of 100 KB take %d of %d bytes", bytes, most)
	if first != 1 || bytes > most*3/4 {
		t.Errorf("the first letter is %d, the stream has %d bytes: the neighbour's letter had to go", first, bytes)
	}
	p.said(5*time.Second, `more than their part.*owner="tenant evil"`)
	last := uint64(1001)
	if out, code := command(t, bus.URL(), "", "dead-letters", "show", fmt.Sprint(last)); code != exitGood || strings.Contains(out, "xxxx") {
		t.Errorf("the last letter holds its event, or is not shown: %d %.300s", code, out)
	}
	put(t, js, "neighbour", recordFor(e, `"ordering":"none"`, `"tenant":"nb"`))
	for i := range 20 {
		put(t, js, fmt.Sprintf("evil%d", i), recordFor(e, `"ordering":"none"`, `"tenant":"evil"`))
	}
	await(t, 20*time.Second, "both are redriven", func() bool {
		for _, seq := range []uint64{1, last} {
			command(t, bus.URL(), "", "dead-letters", "redrive", fmt.Sprint(seq))
		}
		return e.Delivered() >= 2
	})
}
