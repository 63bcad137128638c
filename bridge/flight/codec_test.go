package flight

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// Each input, with something in all of its members, is the same after it was
// written and read, as far as it is written.
func TestInputsSurvive(t *testing.T) {
	t.Parallel()
	cs := newCodecs()
	for _, typ := range inputs {
		for n := range 20 {
			r := rand.New(rand.NewPCG(uint64(n), 1))
			in := filled(r, typ).Interface().(protocol.Input)
			once := written(cs, in)
			var back protocol.Input
			rd := &reader{data: once}
			cs.input.get(rd, pointer(&back))
			if rd.at != len(once) {
				t.Fatalf("%s: %d bytes of %d were read", typ, rd.at, len(once))
			}
			if reflect.TypeOf(back) != typ {
				t.Fatalf("%s became %T", typ, back)
			}
			if again := written(cs, back); !bytes.Equal(once, again) {
				t.Errorf("%s is not the same:\n%v\n%v", typ, Members(in), Members(back))
			}
		}
	}
}

// Nothing secret, and nothing that publishers or endpoints sent, is written.
func TestNothingSecretIsWritten(t *testing.T) {
	t.Parallel()
	cs := newCodecs()
	r := rand.New(rand.NewPCG(1, 1))
	const secret = "s3cr3t"
	rec := filled(r, typ[*record.Subscription]()).Interface().(*record.Subscription)
	fillWith(reflect.ValueOf(rec.More).Elem(), secret, "StartFrom")
	rec.TargetURL = "https://user:" + secret + "@" + secret + ".example.com/" + secret + "?" + secret
	ev := filled(r, typ[*event.Event]()).Interface().(*event.Event)
	ev.Data, ev.Header = []byte(secret), map[string][]string{secret: {secret}}
	rev := protocol.Revision{Key: "s", Value: []byte(secret)}
	for _, in := range []protocol.Input{
		&protocol.EventTaken{Event: ev, Matches: []*record.Subscription{rec}}, protocol.EventsRead{Events: []*event.Event{ev}},
		&protocol.RecordSeen{Revision: rev, Record: rec}, &protocol.RecordReread{Revision: rev, Record: rec}, protocol.RecordFound{Revision: rev},
		&protocol.AttemptEnded{Event: ev, Outcome: protocol.Outcome{Reason: "503", Detail: secret}}, &protocol.Redrive{Letter: protocol.DeadLetter{Event: ev}},
	} {
		w := &writer{most: 1 << 20, hide: newHide()}
		cs.input.put(w, pointer(&in))
		if strings.Contains(string(w.buf), secret) {
			t.Errorf("%T holds what is secret", in)
		}
	}
}

// What the machine looks at in an event and a record is the same afterwards.
func TestLightCopies(t *testing.T) {
	t.Parallel()
	cs := newCodecs()
	hide := newHide()
	back := func(in protocol.Input) (out protocol.Input) {
		w := &writer{most: 1 << 20, hide: hide}
		cs.input.put(w, pointer(&in))
		cs.input.get(&reader{data: w.buf}, pointer(&out))
		return out
	}
	ev := &event.Event{Message: event.Message{Seq: 7, Time: time.Unix(5, 6), Subject: "orders.a", Header: map[string][]string{"A": {"b", "c"}}, Data: make([]byte, 5000)},
		ID: "i", Type: "t", OrderID: "o", Tenant: "acme"}
	got := back(&protocol.EventTaken{Event: ev}).(*protocol.EventTaken).Event
	for _, o := range []event.Ordering{event.OrderingOrder, event.OrderingNone, event.OrderingStrict} {
		a, _ := ev.Key(o)
		b, _ := got.Key(o)
		if a != b {
			t.Errorf("ordering %d: key %q became %q", o, a, b)
		}
	}
	if got.Size() != ev.Size() || got.Ref() != ev.Ref() {
		t.Errorf("size %d became %d, %v became %v", ev.Size(), got.Size(), ev.Ref(), got.Ref())
	}
	origin := func(url string) string {
		in := &protocol.RecordSeen{Record: &record.Subscription{ID: "s", TargetURL: url}}
		return back(in).(*protocol.RecordSeen).Record.Origin()
	}
	if a, b := origin("https://a.example/x"), origin("https://A.example:443/y?z"); a != b {
		t.Errorf("one origin became two: %s, %s", a, b)
	}
	if a, b := origin("https://a.example/"), origin("http://a.example/"); a == b {
		t.Errorf("two origins became one: %s", a)
	}
	for _, sentinel := range sentinels {
		in := protocol.EntryWritten{Reply: protocol.Reply{Err: fmt.Errorf("write: %w", sentinel)}}
		err := back(in).(protocol.EntryWritten).Err
		for _, other := range sentinels {
			if is := (&failure{}).Is(other); is {
				t.Error("a failure that is nothing is something")
			}
			if got := errors.Is(err, other); got != (other == sentinel) {
				t.Errorf("%v is %v: %v", err, other, got)
			}
		}
	}
}

func written(cs *codecs, in protocol.Input) []byte {
	w := &writer{most: 1 << 20, hide: func(origin string) string { return origin }}
	cs.input.put(w, pointer(&in))
	return w.buf
}

// filled makes a value with something in all of its members.
func filled(r *rand.Rand, t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	fill(r, v, 0)
	return v
}

func fill(r *rand.Rand, v reflect.Value, depth int) {
	if !v.CanSet() {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch v.Type() {
	case typ[time.Time]():
		v.Set(reflect.ValueOf(time.Unix(r.Int64N(1e9), r.Int64N(1e9)).UTC()))
		return
	case typ[error]():
		v.Set(reflect.ValueOf(fmt.Errorf("%d: %w", r.IntN(100), sentinels[r.IntN(len(sentinels))])))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) > 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(r.Int64N(256) - 128)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64N(256))
	case reflect.Float64:
		v.SetFloat(r.Float64())
	case reflect.String:
		v.SetString(fmt.Sprint("text", r.IntN(1000)))
	case reflect.Pointer:
		if depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem(), depth+1)
		}
	case reflect.Struct:
		if strings.HasPrefix(v.Type().PkgPath(), "sync") || strings.HasPrefix(v.Type().String(), "atomic.") {
			return
		}
		for i := range v.NumField() {
			fill(r, v.Field(i), depth+1)
		}
		if rec, ok := v.Addr().Interface().(*record.Subscription); ok {
			rec.TargetURL = fmt.Sprintf("https://host%d.example", r.IntN(1000))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(filled(r, v.Type().Key()), filled(r, v.Type().Elem()))
	}
}

// fillWith puts a text into all strings but those of the members that are named.
func fillWith(v reflect.Value, text string, but string) {
	if !v.CanSet() && v.CanAddr() {
		v = reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem()
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if !v.IsNil() {
			fillWith(v.Elem(), text, but)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != but {
				fillWith(v.Field(i), text, but)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fillWith(v.Index(i), text, but)
		}
	case reflect.Map:
		v.Clear()
		k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillWith(k, text, but)
		fillWith(e, text, but)
		v.SetMapIndex(k, e)
	}
}
