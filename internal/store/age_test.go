package store_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// How old what is owed is: of an order that waits as the ledger tells, also when the
// stream was made again; of a subscription that reads as the stream does, unless it is
// another than the one that the ledger speaks of.
func TestOwedTellsItsAge(t *testing.T) {
	t.Parallel()
	l := newLogged(t)
	var refs []event.Ref
	publish := func(n int) {
		for range n {
			l.put("orders.4711.created", map[string]string{"orderId": "4711"})
		}
		l.stored()
	}
	publish(4)
	stream, err := l.js.Stream(t.Context(), l.names.Stream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(4) {
		m, err := stream.GetMsg(t.Context(), seq+1)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, event.Ref{Seq: m.Sequence, Time: m.Time.UnixNano()})
	}
	owe := func(key string, entry any) { l.put("$KV."+l.names.Owed+"."+key, entry) }
	last := uint64(4)
	owe("a.4711", protocol.LaneEntry{Generation: 1, Order: "4711", Seqs: []uint64{2, 3}, Known: refs[1:3]})
	owe("b.4711", protocol.LaneEntry{Generation: 1, Order: "4711", Seqs: []uint64{2}}) // of a former build
	owe("c", protocol.Mark{Generation: 1, From: 2, Done: [][2]uint64{{2, 2}}, Known: []event.Ref{refs[0], refs[3]}})
	owe("d", protocol.Mark{Generation: 1, From: 5, Known: []event.Ref{refs[3]}})               // nothing has come since
	owe("e", protocol.Mark{Generation: 1, From: 5, Until: &last, Known: []event.Ref{refs[3]}}) // nor is anything of it
	l.stored()
	check := func(what string, want map[string]time.Time) {
		t.Helper()
		debts, _, err := l.catalog.Owed(t.Context(), store.Everything(), "", "", 10)
		if err != nil || len(debts) != 5 {
			t.Fatalf("%s: %d debts, %v", what, len(debts), err)
		}
		for _, d := range debts {
			if !d.Published.Equal(want[d.Key]) {
				t.Errorf("%s: %s is told to be of %v, want %v", what, d.Key, d.Published, want[d.Key])
			}
		}
	}
	check("at first", map[string]time.Time{"a.4711": refs[1].Published(), "c": refs[2].Published()})

	if err := l.js.DeleteStream(t.Context(), l.names.Stream); err != nil {
		t.Fatal(err)
	}
	check("without the stream", map[string]time.Time{"a.4711": refs[1].Published()})
	if _, err := l.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: l.names.Stream, Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	publish(6)
	want := map[string]time.Time{"a.4711": refs[1].Published()}
	stream, err = l.js.Stream(t.Context(), l.names.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(t.Context(), 5); err != nil {
		t.Fatal(err)
	} else {
		want["d"] = m.Time // behind all that it knows: it is at most as old
	}
	check("made again", want)

	for i := range limits.OwedAges + 1 {
		owe("m"+string(rune('0'+i/10))+string(rune('0'+i%10)), protocol.Mark{Generation: 1, From: 1})
	}
	l.stored()
	debts, _, err := l.catalog.Owed(t.Context(), store.Everything(), "", "e", 100)
	told := 0
	for _, d := range debts {
		if !d.Published.IsZero() {
			told++
		}
	}
	if err != nil || len(debts) != limits.OwedAges+1 || told != limits.OwedAges {
		t.Errorf("of %d that read it is told of %d, %v", len(debts), told, err)
	}
}
