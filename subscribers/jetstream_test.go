package subscribers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

func newTestFeed(t testing.TB, js jetstream.JetStream, o Options) *JetStream {
	t.Helper()
	o.JetStream, o.Stream = js, "ORDERS"
	o.Logger = slog.New(slog.DiscardHandler)
	f, err := NewFeed(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func open(t testing.TB, f *JetStream, epoch, floor, want uint64) <-chan *message.Message {
	t.Helper()
	ctx := testContext(t)
	durable, found, err := f.Floor(ctx, epoch)
	if err != nil {
		t.Fatal(err)
	}
	pos := max(durable, floor)
	if !found && floor == 0 { // the first start ever
		s, err := js(f).Stream(ctx, "ORDERS")
		if err != nil {
			t.Fatal(err)
		}
		pos = s.CachedInfo().State.LastSeq
	}
	if pos != want {
		t.Fatalf("epoch %d opens at %d, want %d", epoch, pos, want)
	}
	if err := f.Open(ctx, epoch, event.Ref{Seq: pos}); err != nil {
		t.Fatal(err)
	}
	run, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	msgs, err := f.Subscribe(run, "")
	if err != nil {
		t.Fatal(err)
	}
	return msgs
}

func js(f *JetStream) jetstream.JetStream { return f.o.JetStream }

func next(t testing.TB, msgs <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-msgs:
		if !ok {
			t.Fatal("channel closed")
		}
		return m
	case <-time.After(lab.Patience):
		t.Fatal("no message")
	}
	return nil
}

func nextSeq(t testing.TB, msgs <-chan *message.Message, want uint64) *message.Message {
	t.Helper()
	m := next(t, msgs)
	if got := bridge.SourceOf(m.Context()).Seq; got != want {
		t.Fatalf("event %d, want %d", got, want)
	}
	return m
}

func none(t testing.TB, msgs <-chan *message.Message) {
	t.Helper()
	select {
	case m, ok := <-msgs:
		if ok {
			t.Fatalf("unexpected event %d", bridge.SourceOf(m.Context()).Seq)
		}
	case <-time.After(100 * time.Millisecond):
	}
}

// floors returns the ack floor of each durable, nil if the bus cannot tell now.
func floors(t testing.TB, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	l := s.ListConsumers(ctx)
	for info := range l.Info() {
		out[info.Name] = info.AckFloor.Stream
	}
	return out
}

func eventuallyFloor(t testing.TB, js jetstream.JetStream, durable string, want uint64) {
	t.Helper()
	lab.Eventually(t, fmt.Sprintf("floor %d of %s", want, durable), func() bool { return floors(t, js)[durable] == want })
}

func TestFeedSettlesThePrefixOnly(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	publishMany(t, js, 1, 3, 0)
	f := newTestFeed(t, js, Options{})
	if _, err := f.Subscribe(testContext(t), ""); err == nil {
		t.Error("subscribed before it was opened")
	}
	msgs := open(t, f, 1, 0, 3) // first start ever: the end of the stream
	publishMany(t, js, 4, 10, 0)
	var out []*message.Message
	for seq := uint64(4); seq <= 10; seq++ {
		m := nextSeq(t, msgs, seq)
		if string(m.Payload) != fmt.Sprint(seq) {
			t.Errorf("payload %q", m.Payload)
		}
		out = append(out, m)
	}
	none(t, msgs)
	out[1].Ack()
	out[2].Ack()
	if err := f.Confirm(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if fl := floors(t, js)["orderbridge-1-1"]; fl > 3 {
		t.Errorf("floor %d while event 4 is unsettled", fl)
	}
	out[0].Ack()
	eventuallyFloor(t, js, "orderbridge-1-1", 6)
	out[3].Nack() // 7 comes again
	again := nextSeq(t, msgs, 7)
	again.Ack()
	eventuallyFloor(t, js, "orderbridge-1-1", 7)
}

func TestFeedMessage(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	msgs := open(t, f, 1, 0, 0)
	if _, err := js.Publish(testContext(t), "orders.plain", []byte{0, 255}); err != nil {
		t.Fatal(err)
	}
	m := nextSeq(t, msgs, 1)
	if m.UUID != "1" || len(m.Metadata) != 0 || bridge.SourceOf(m.Context()).Header != nil {
		t.Errorf("plain: %q %v", m.UUID, m.Metadata)
	}
	h := map[string][]string{"Ce-Type": {"a", "b"}, "Nats-Msg-Id": {"id-7"}}
	nm := natsMsg("orders.acme", h)
	if _, err := js.PublishMsg(testContext(t), nm); err != nil {
		t.Fatal(err)
	}
	m = nextSeq(t, msgs, 2)
	src := bridge.SourceOf(m.Context())
	if m.UUID != "id-7" || m.Metadata["Ce-Type"] != "a" || len(m.Metadata) != 1 || len(src.Header["Ce-Type"]) != 2 || src.Subject != "orders.acme" || src.Time.IsZero() {
		t.Errorf("with headers: %q %v %+v", m.UUID, m.Metadata, src)
	}
}

func TestFeedTakeOver(t *testing.T) {
	t.Parallel()
	b := lab.StartBus(t)
	js := b.JetStream()
	makeStream(t, js)
	old := newTestFeed(t, js, Options{})
	msgs := open(t, old, 1, 0, 0)
	publishMany(t, js, 1, 20, 0)
	var out []*message.Message
	for seq := uint64(1); seq <= 20; seq++ {
		out = append(out, nextSeq(t, msgs, seq))
	}
	for _, m := range out[:5] {
		m.Ack()
	}
	eventuallyFloor(t, js, "orderbridge-1-1", 5)

	young := newTestFeed(t, b.JetStream(), Options{})
	msgs2 := open(t, young, 2, 3, 5) // the durable knows better than the lease
	if fl := floors(t, js); len(fl) != 1 {
		t.Errorf("durables: %v", fl)
	}
	for _, m := range out[5:] { // late: does nothing
		m.Ack()
	}
	_ = old.Confirm(testContext(t))
	for seq := uint64(6); seq <= 20; seq++ {
		m := nextSeq(t, msgs2, seq)
		if seq <= 8 {
			m.Ack()
		}
	}
	eventuallyFloor(t, js, "orderbridge-2-1", 8)
	if err := old.Open(testContext(t), 1, event.Ref{}); !errors.Is(err, protocol.ErrDeposed) {
		t.Errorf("an older epoch opens: %v", err)
	}
	// A floor above the durable's wins, and a fresh durable keeps where it began.
	third := newTestFeed(t, js, Options{})
	open(t, third, 3, 10, 10)
	fourth := newTestFeed(t, js, Options{})
	open(t, fourth, 4, 0, 10)
	// The deposed feed hears of its lost durable, finds the newer one and ends.
	lab.Eventually(t, "the old feed ends", func() bool {
		select {
		case _, ok := <-msgs:
			return !ok
		default:
			return false
		}
	})
}

func TestFeedWindow(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	for name, o := range map[string]Options{
		"events": {Window: 10},
		"bytes":  {WindowBytes: 10 * (1000 + 256 + 11)},
	} {
		f := newTestFeed(t, js, o)
		f.o.DurablePrefix = name + "-"
		s, err := js.Stream(testContext(t), "ORDERS")
		if err != nil {
			t.Fatal(err)
		}
		info, _ := s.Info(testContext(t))
		first := info.State.LastSeq
		msgs := open(t, f, 1, 0, first)
		publishMany(t, js, 1, 100, 1000)
		var out []*message.Message
		for i := range uint64(10) {
			out = append(out, nextSeq(t, msgs, first+1+i))
		}
		none(t, msgs)
		out[1].Ack() // above the prefix: makes no room
		none(t, msgs)
		out[0].Ack()
		nextSeq(t, msgs, first+11)
		nextSeq(t, msgs, first+12)
		none(t, msgs)
	}
}

func TestFeedStop(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	if err := f.Open(testContext(t), 1, event.Ref{}); err != nil {
		t.Fatal(err)
	}
	publishMany(t, js, 1, 10, 0)
	ctx, cancel := context.WithCancel(context.Background())
	msgs, err := f.Subscribe(ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	m1, m2 := nextSeq(t, msgs, 1), nextSeq(t, msgs, 2)
	cancel()
	lab.Eventually(t, "channel closed", func() bool {
		select {
		case _, ok := <-msgs:
			return !ok
		default:
			return false
		}
	})
	if m1.Context().Err() != nil {
		t.Error("the context of an event that is worked on has ended")
	}
	m1.Ack()
	m2.Ack()
	lab.Eventually(t, "confirmed", func() bool {
		if err := f.Confirm(testContext(t)); err != nil {
			t.Fatal(err)
		}
		return floors(t, js)["orderbridge-1-1"] == 2
	})
	f.Close()
	f.Close()
}

// What was settled while all ended is taken out of the window once, however many close the feed.
func TestFeedClosedBySeveral(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	if err := f.Open(testContext(t), 1, event.Ref{}); err != nil {
		t.Fatal(err)
	}
	const events = 2000
	publishMany(t, js, 1, events, 0)
	msgs, err := f.Subscribe(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	var out []*message.Message
	for seq := uint64(1); seq <= events; seq++ {
		out = append(out, nextSeq(t, msgs, seq))
	}
	f.feed.end()
	f.feed.wg.Wait()
	for _, m := range out {
		m.Ack()
	}
	var closing sync.WaitGroup
	for range 8 {
		closing.Go(func() { f.Close() })
	}
	closing.Wait()
	eventuallyFloor(t, js, "orderbridge-1-1", events)
}

func TestFeedReportsExpired(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s := makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	publishMany(t, js, 1, 10, 0)
	if err := s.Purge(testContext(t), jetstream.WithPurgeSequence(8)); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	f.log = slog.New(slog.NewTextHandler(&log, nil))
	msgs := open(t, f, 2, 3, 3)
	nextSeq(t, msgs, 8)
	if !strings.Contains(log.String(), "missing=4") {
		t.Errorf("log: %s", log.String())
	}
}

// takeAll acks events until last, in up to 64 goroutines as the bridge does,
// and checks that each comes once and in order.
func takeAll(t *testing.T, msgs <-chan *message.Message, first, last uint64) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for seq := first; seq <= last; seq++ {
		m := nextSeq(t, msgs, seq)
		slots <- struct{}{}
		wg.Go(func() { m.Ack(); <-slots })
	}
	wg.Wait()
}

func publishSlowly(t *testing.T, js jetstream.JetStream, n int) *sync.WaitGroup {
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			lab.Eventually(t, "publish", func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				_, err := js.Publish(ctx, "orders", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
				return err == nil
			})
		}
	})
	return &wg
}

func TestFeedOverRestart(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	js := lab.JetStream(t, lab.Dial(t, b.URL()))
	makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	msgs := open(t, f, 1, 0, 0)
	wg := publishSlowly(t, js, 3000)
	defer wg.Wait()
	takeAll(t, msgs, 1, 1000)
	b.Restart()
	takeAll(t, msgs, 1001, 2000)
	b.Restart()
	takeAll(t, msgs, 2001, 3000)
	lab.Eventually(t, "all settled", func() bool {
		fl := floors(t, js)
		for _, v := range fl {
			return v == 3000 && len(fl) == 1
		}
		return false
	})
}

// The trap of AckAll: the server has sent messages into a dead connection, the
// client acknowledges a later one. Nothing may be lost.
func TestFeedOverFrozenConnection(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	makeStream(t, b.JetStream())
	p := b.Proxy()
	js := lab.JetStream(t, lab.Dial(t, p.URL()))
	f := newTestFeed(t, js, Options{})
	msgs := open(t, f, 1, 0, 0)
	const n = 20000
	direct := lab.JetStream(t, lab.Dial(t, b.URL()))
	var wg sync.WaitGroup
	wg.Go(func() { publishMany(t, direct, 1, n, 100) })
	defer wg.Wait()
	seq := uint64(0)
	for range 4 {
		takeAll(t, msgs, seq+1, seq+2000)
		seq += 2000
		p.Silence(true)
		// What is in the client already still comes.
		frozen := time.After(200 * time.Millisecond)
	drain:
		for {
			select {
			case m := <-msgs:
				seq++
				if got := bridge.SourceOf(m.Context()).Seq; got != seq {
					t.Fatalf("event %d, want %d", got, seq)
				}
				m.Ack()
			case <-frozen:
				break drain
			}
		}
		p.Cut()
		p.Silence(false)
	}
	takeAll(t, msgs, seq+1, n)
	lab.Eventually(t, "all settled", func() bool {
		for _, v := range floors(t, direct) {
			if v == n {
				return true
			}
		}
		return false
	})
}

func TestFeedDurableDeleted(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s := makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	msgs := open(t, f, 1, 0, 0)
	publishMany(t, js, 1, 10, 0)
	takeAll(t, msgs, 1, 5)
	rest := make([]*message.Message, 0, 5)
	for seq := uint64(6); seq <= 10; seq++ {
		rest = append(rest, nextSeq(t, msgs, seq))
	}
	if err := s.DeleteConsumer(testContext(t), "orderbridge-1-1"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "a new durable", func() bool { _, ok := floors(t, js)["orderbridge-1-2"]; return ok })
	for _, m := range rest {
		m.Ack()
	}
	publishMany(t, js, 11, 12, 0)
	takeAll(t, msgs, 11, 12)
	eventuallyFloor(t, js, "orderbridge-1-2", 12)
}

// A message that got lost at the end of what was sent, without any sign.
func TestFeedIdleCheck(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s := makeStream(t, js)
	f := newTestFeed(t, js, Options{idleCheck: 500 * time.Millisecond})
	msgs := open(t, f, 1, 0, 0)
	publishMany(t, js, 1, 3, 0)
	takeAll(t, msgs, 1, 3)
	// Another client takes the next one from under the feed.
	c, err := s.Consumer(testContext(t), "orderbridge-1-1")
	if err != nil {
		t.Fatal(err)
	}
	stolen := make(chan struct{})
	cc, err := c.Consume(func(jetstream.Msg) { stolen <- struct{}{} }, jetstream.PullMaxMessages(1000))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Stop()
	seq := uint64(3)
	for taken := false; !taken; {
		publish(t, js, "orders", "x")
		seq++
		select {
		case <-stolen:
			taken = true
		case m := <-msgs:
			m.Ack()
		case <-time.After(lab.Patience):
			t.Fatal("nobody got it")
		}
	}
	cc.Stop()
	start := time.Now()
	m := nextSeq(t, msgs, seq)
	m.Ack()
	lab.Promise(t, "until a lost message is noticed", time.Since(start), 10*time.Second)
}

// Sequences of another stream of the same name mean nothing: say so, take in nothing.
func TestFeedStreamMadeAnew(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	makeStream(t, js)
	f := newTestFeed(t, js, Options{})
	msgs := open(t, f, 1, 0, 0)
	publishMany(t, js, 1, 20, 0)
	takeAll(t, msgs, 1, 20)
	if err := js.DeleteStream(testContext(t), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	makeStream(t, js)
	publishMany(t, js, 1, 10, 0)
	select {
	case m, ok := <-msgs:
		if ok {
			t.Fatalf("event %d", bridge.SourceOf(m.Context()).Seq)
		}
	case <-time.After(lab.Patience):
		t.Fatal("the feed does not end")
	}
	msgs = open(t, f, 2, 0, 10) // in the new one
	publishMany(t, js, 11, 12, 0)
	nextSeq(t, msgs, 11)
}

// On a replicated stream: a fresh durable reports no floor, and acknowledgements
// take their time.
func TestFeedCluster(t *testing.T) {
	t.Parallel()
	nodes := lab.ClusterOf(t)
	if _, err := nodes[0].CreateStream(testContext(t), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders", "orders.>"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	old := newTestFeed(t, nodes[0], Options{})
	msgs := open(t, old, 1, 0, 0)
	publishMany(t, nodes[1], 1, 2000, 100)
	takeAll(t, msgs, 1, 1500)
	lab.Eventually(t, "confirmed", func() bool {
		return old.Confirm(testContext(t)) == nil && floors(t, nodes[1])["orderbridge-1-1"] == 1500
	})
	second := newTestFeed(t, nodes[1], Options{})
	open(t, second, 2, 0, 1500)
	third := newTestFeed(t, nodes[2], Options{})
	msgs = open(t, third, 3, 0, 1500)
	takeAll(t, msgs, 1501, 2000)
	s := NewSource(SourceOptions{JetStream: nodes[2], Stream: "ORDERS"})
	if got := readAll(t, s, "k", 1, 2000, []string{"orders.>"}, 256, 1<<20); len(got) != 2000 {
		t.Errorf("read %d events", len(got))
	}
}
