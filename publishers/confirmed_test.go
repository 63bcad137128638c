package publishers

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

func stream(t *testing.T, js jetstream.JetStream, c jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	c.Storage = jetstream.MemoryStorage
	s, err := js.CreateStream(shortly(t), c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPublishConfirmed(t *testing.T) {
	t.Parallel()
	bus := lab.StartBus(t)
	js := bus.JetStream()
	stream(t, js, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, MaxMsgSize: 1024})
	for _, tc := range []struct {
		name, subject string
		size          int
		good, refused bool
	}{
		{name: "stored", subject: "orders.a", size: 512, good: true},
		{name: "no stream", subject: "nobody.hears"},
		{name: "larger than the stream allows", subject: "orders.a", size: 2048, refused: true},
		{name: "larger than the server allows", subject: "orders.a", size: 2 << 20, refused: true},
	} {
		patience := lab.Patience
		if !tc.good && !tc.refused { // nothing ends it but its time
			patience = 2 * time.Second
		}
		err := publishConfirmed(shortly(t), js, patience, &nats.Msg{Subject: tc.subject, Data: make([]byte, tc.size)})
		if (err == nil) != tc.good || errors.Is(err, protocol.ErrRefused) != tc.refused {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
	bus.Stop()
	err := publishConfirmed(shortly(t), js, 300*time.Millisecond, &nats.Msg{Subject: "orders.a"})
	if err == nil || errors.Is(err, protocol.ErrRefused) {
		t.Errorf("got %v, want an unknown outcome", err)
	}
}

func TestWhatCannotBePublished(t *testing.T) {
	t.Parallel()
	for subject, good := range map[string]bool{"orders.a": true, "orders": true, "orders.*": false, "orders.>": false, "orders.a b": false, "orders..a": false, "": false, "orders.": false, "a\x00b": false} {
		if isSubject(subject) != good {
			t.Errorf("subject %q: got %v", subject, !good)
		}
	}
	for value, good := range map[string]bool{"id-1": true, "a b": true, " a": false, "a\nb": false, "x\r\nb: y": false} {
		if survivesAsHeader(value) != good {
			t.Errorf("header value %q: got %v", value, !good)
		}
	}
}

func newDeadLetters(t *testing.T, js jetstream.JetStream, change ...func(*DeadLettersOptions)) *DeadLetters {
	t.Helper()
	o := DeadLettersOptions{JetStream: js, Stream: "acme_DEAD_LETTERS", Subject: "acme.dead-letters"}
	for _, c := range change {
		c(&o)
	}
	l, err := NewDeadLetters(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var deadLetterStream = jetstream.StreamConfig{Name: "acme_DEAD_LETTERS", Subjects: []string{"acme.dead-letters.>"}}

func TestDeadLettersKeepTheEventByteForByte(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s := stream(t, js, deadLetterStream)
	l := newDeadLetters(t, js)
	eventOf := func(data []byte) *event.Event {
		return &event.Event{
			Message: event.Message{Seq: 42, Time: noon.Add(123456789), Subject: "orders.acme.OrderAccepted.4711", Data: data,
				Header: map[string][]string{"Nats-Msg-Id": {"e-1"}, "a": {"1", "2"}}},
			ID: "ORDERS-42-7", PublisherID: "e-1", Type: "OrderAccepted", OrderID: "4711", LegacyOrderID: "<l>", Tenant: "acme",
		}
	}
	letter := func(e *event.Event) protocol.DeadLetter {
		return protocol.DeadLetter{
			Subscription: "erp", Generation: 1<<53 + 1, Lane: "4711", Key: "acme/4711", Order: "4711", Reason: `500: "no" <html>`, Attempts: 9, LastStatus: 500,
			DeliveryID: "e-1.erp.7", Stream: "ORDERS", Sequence: 42, Time: noon, Event: e,
		}
	}
	odd := eventOf([]byte("x"))
	odd.OrderID, odd.Header = "\xff\x00ä", map[string][]string{"odd": {"\xfe"}}
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	for i, tc := range []struct {
		name string
		e    *event.Event
	}{
		{"JSON", eventOf([]byte("{ \"a\":\"\\u00e4 <&> \u2028\",\r\n\t\"n\":1.0 }\n"))},
		{"binary", eventOf(everyByte)},
		{"odd bytes that are UTF-8", eventOf([]byte("\x00\x01\x7f\uFFFD\uFEFF"))},
		{"empty", eventOf([]byte{})},
		{"texts that are not UTF-8", odd},
		{"no event", nil},
	} {
		want := letter(tc.e)
		if tc.e == odd {
			want.Key, want.Order = "acme/\xff\x00ä", "\xff\x00ä"
		}
		want.ID = fmt.Sprintf("letter-%d", i)
		for range 2 { // a repeat is stored once
			if err := l.Store(shortly(t), want); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		got, err := l.Get(shortly(t), uint64(i+1))
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(event.Event{}, protocol.DeadLetter{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		raw, err := s.GetMsg(shortly(t), uint64(i+1))
		if err != nil || raw.Subject != "acme.dead-letters.erp.4711" || len(raw.Header) != 1+1 {
			t.Errorf("%s: %+v, %v", tc.name, raw, err)
		}
	}

	if err := l.Remove(shortly(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(shortly(t), 1); err != nil {
		t.Errorf("the second time: %v", err)
	}
	if err := l.Remove(shortly(t), 999); err != nil {
		t.Errorf("never there: %v", err)
	}
	if _, err := l.Get(shortly(t), 1); !errors.Is(err, protocol.ErrNotFound) {
		t.Errorf("after its removal: %v", err)
	}
}

func TestDeadLettersOverTheSizeLimitAreReferences(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	stream(t, js, deadLetterStream)
	l := newDeadLetters(t, js) // the test server allows 1 MiB too
	for i, tc := range []struct {
		name string
		d    protocol.DeadLetter
		kept bool
	}{
		{"just below", protocol.DeadLetter{Event: &event.Event{Message: event.Message{Data: bytes.Repeat([]byte("x"), 1<<20-2048)}}}, true},
		{"1 MiB", protocol.DeadLetter{Event: &event.Event{Message: event.Message{Data: bytes.Repeat([]byte("x"), 1<<20)}}}, false},
		{"larger when encoded", protocol.DeadLetter{Event: &event.Event{Message: event.Message{Data: bytes.Repeat([]byte{0xff}, 900<<10)}}}, false},
		{"ids of that size", protocol.DeadLetter{Key: strings.Repeat("k", 1<<20), DeliveryID: strings.Repeat("\xff", 1<<20), Event: &event.Event{}}, false},
	} {
		tc.d.Subscription, tc.d.Lane, tc.d.Stream, tc.d.Sequence, tc.d.ID = "erp", "l", "ORDERS", 7, fmt.Sprint(i)
		if err := l.Store(shortly(t), tc.d); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got, err := l.Get(shortly(t), uint64(i+1))
		if err != nil || (got.Event != nil) != tc.kept || got.Sequence != 7 || got.Stream != "ORDERS" {
			t.Errorf("%s: event kept: %v, %v", tc.name, got.Event != nil, err)
		}
	}
}

func TestDeadLettersRefusals(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	full := deadLetterStream
	full.MaxMsgs, full.Discard = 1, jetstream.DiscardNew
	stream(t, js, full)
	l := newDeadLetters(t, js)
	d := protocol.DeadLetter{Subscription: "erp", Lane: "l", ID: "1"}
	if err := l.Store(shortly(t), d); err != nil {
		t.Fatal(err)
	}
	d.ID = "2"
	if err := l.Store(shortly(t), d); !errors.Is(err, protocol.ErrRefused) {
		t.Errorf("full: %v", err)
	}
	d.Lane = "a.b"
	if err := l.Store(shortly(t), d); !errors.Is(err, protocol.ErrRefused) {
		t.Errorf("lane that is not a token: %v", err)
	}
	nobody := newDeadLetters(t, js, func(o *DeadLettersOptions) { o.Subject, o.Timeout = "nobody", time.Second })
	d.Lane = "l"
	if err := nobody.Store(shortly(t), d); err == nil || errors.Is(err, protocol.ErrRefused) {
		t.Errorf("no stream: got %v, want an unknown outcome", err)
	}
	for _, o := range []DeadLettersOptions{
		{}, {JetStream: js}, {JetStream: js, Stream: "S"}, {JetStream: js, Stream: "S", Subject: "a.*"}, {JetStream: js, Stream: "S", Subject: "a", MaxPayload: -1},
	} {
		if _, err := NewDeadLetters(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
}

func FuzzParseDeadLetter(f *testing.F) {
	f.Add([]byte(`{"subscription":"a","event":{"id":"x","data":"y"}}`))
	f.Add([]byte(`{"encoding":"bytes","event":{"id":"ÿ","data_base64":"AA=="}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := ParseDeadLetter(data)
		if err != nil {
			return
		}
		b, err := marshalLetter(d, 1<<30, true)
		if err != nil {
			return // a time that JSON does not know
		}
		again, err := ParseDeadLetter(b)
		if err != nil {
			t.Fatal(err)
		}
		if d.Event != nil && !bytes.Equal(d.Event.Data, again.Event.Data) {
			t.Errorf("%q became %q", d.Event.Data, again.Event.Data)
		}
	})
}
