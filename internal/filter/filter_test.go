package filter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

func eventOf(data string) *event.Event {
	return &event.Event{Message: event.Message{Seq: 1, Subject: "orders.acme.OrderAccepted.4711", Data: []byte(data),
		Header: map[string][]string{"ce-type": {"OrderAccepted", "second"}, "Empty": {}}}}
}

const order = `{"orderId":"4711","total":120.5,"lines":[{"sku":"a","qty":2},{"sku":"b","qty":10}],
	"urgent":true,"nothing":null,"customer":{"country":"SE"},"serial":9007199254740993,"huge":18446744073709551615,"price":10}`

func TestWants(t *testing.T) {
	t.Parallel()
	f := New()
	for _, c := range []struct {
		expression, data string
		want             bool
		reason           string // of the failure, in part
	}{
		{`event.total > 100`, order, true, ""},
		{`event.total > 100.0 && event.price == 10`, order, true, ""},
		{`event.orderId == "4712"`, order, false, ""},
		{`event.urgent == true`, order, true, ""},
		{`event.nothing == null`, order, true, ""},
		{`event.customer.country in ["SE", "NO"]`, order, true, ""},
		{`event.lines.exists(l, l.qty >= 10)`, order, true, ""},
		{`event.lines.all(l, l.sku.matches("^[ab]$"))`, order, true, ""},
		{`size(event.lines) == 2 && event.lines[1].sku == "b"`, order, true, ""},
		{`event.serial == 9007199254740993 && event.serial != 9007199254740992`, order, true, ""},
		{`event.huge == 18446744073709551615u`, order, true, ""},
		{`has(event.discount) && event.discount > 5`, order, false, ""},
		{`!has(event.discount)`, order, true, ""},
		{`subject.startsWith("orders.acme.")`, "not JSON", true, ""},
		{`headers["ce-type"] == "OrderAccepted"`, "", true, ""},
		{`"ce-type" in headers && !("x" in headers) && !("Empty" in headers)`, "", true, ""},
		{`event[0].a == "x"`, `[{"a":"x"}]`, true, ""},
		{`event == "text"`, `"text"`, true, ""},
		{"// only the dear ones\nevent.total\n\t> 100", order, true, ""},

		{`event.discount > 5`, order, false, "no such key: discount"},
		{`event.total > "100"`, order, false, "no such overload"},
		{`event.lines[7].qty > 1`, order, false, "index"},
		{`headers["x"] == "y"`, order, false, "no such key: x"},
		{`event.a == 1`, "not JSON", false, "the event is not JSON"},
		{`event.a == 1`, "", false, "the event is not JSON: it is empty"},
		{`event.a == 1`, `{"a":1} {"a":2}`, false, "more follows"},
		{`event.a == 1`, `{"a":1`, false, "the event is not JSON"},
		{`subject == "x" || event.a == 1`, "not JSON", false, "the event is not JSON"},
		{`subject != "x" || event.a == 1`, "not JSON", true, ""}, // as CEL has it: one side is enough
		{`1 / int(event.price - 10.0) == 1`, order, false, "divi"},
		{`event.lines.exists(l, l.qty > 1 && l.nope)`, order, false, "no such key: nope"},
	} {
		got, err := f.Wants(t.Context(), c.expression, eventOf(c.data))
		switch {
		case c.reason == "" && (err != nil || got != c.want):
			t.Errorf("%s: %v, %v; want %v", c.expression, got, err, c.want)
		case c.reason != "" && (err == nil || got || !strings.Contains(err.Error(), c.reason)):
			t.Errorf("%s: %v, %v; want an error with %q", c.expression, got, err, c.reason)
		case c.reason != "":
			if o := bridge.Judge(err, false); o.Verdict != protocol.GiveUp || o.EndpointFault || !strings.HasPrefix(o.Reason, "filter: ") {
				t.Errorf("%s: judged %+v, want a dead letter that says filter", c.expression, o)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, want string }{
		{`event.total > 100`, ""},
		{`true`, ""},
		{` `, "line 1, column"},
		{`event.total >`, "line 1, column 14: Syntax error"},
		{"event.total > 1 &&\n  evnt.x == 2", "line 2, column 3: undeclared reference to 'evnt'"},
		{`"å" == subjekt`, "line 1, column 8: undeclared reference to 'subjekt'"},
		{`subject`, "must be true or false, is string"},
		{`event.urgent`, "as in event.urgent == true"},
		{`size(event)`, "must be true or false, is int"},
		{`subject > 5`, "line 1, column 9: found no matching overload"},
		{`headers.x == 5`, "line 1, column 11: found no matching overload"},
		{`subject.matches("(")`, "line 1, column 17"},
		{`subject.matches("(a{100}){100}")`, "line 1, column 17"},
		{`subject.matches("\\pL{1000}")`, "line 1, column 17"},
		{`now() > timestamp("2026-01-01T00:00:00Z")`, "undeclared reference to 'now'"},
		{strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500), "recursion"},
		{strings.Repeat("!", 3000) + "true", ""},
		{`[` + strings.Repeat("1,", 2500) + `] == []`, "size"},
		{strings.Repeat("[1].all(a, ", 30) + "true" + strings.Repeat(")", 30), ""},
		{strings.Repeat("x", 5000), "size"},
	} {
		err := New().Check(c.expression)
		switch {
		case (err == nil) != (c.want == ""):
			t.Errorf("%.60q: %v, want %q", c.expression, err, c.want)
		case err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1500):
			t.Errorf("%.60q: %q, want one line with %q", c.expression, err, c.want)
		}
	}
}

// TestHostileExpressionsAreBounded: whatever an expression does with a large
// event, it ends soon.
func TestHostileExpressionsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"text":"` + strings.Repeat("a", 400<<10) + `","list":[`)
	for i := range 20000 {
		fmt.Fprintf(&b, `{"n":%d},`, i)
	}
	b.WriteString(`0],"map":{`)
	for i := range 20000 {
		fmt.Fprintf(&b, `"k%d":%d,`, i, i)
	}
	b.WriteString(`"k":0}}`)
	big := eventOf(b.String())
	t.Logf("the event has %d bytes", len(big.Data))
	many := func(part, by string) string { return part + strings.Repeat(by+part, 4000/len(by+part)-1) }
	f := New()
	for _, expression := range []string{
		`event.list.all(a, event.list.all(b, event.list.all(c, true)))`,
		`event.list.all(a, event.map.exists(k, true))`,
		`event.list.all(a, event == event)`,
		many(`event == event`, " && "),
		many(`size(event.text) > 0`, " && "),
		`event.list.all(a, size(event.text) > 0)`,
		`event.list.all(a, event.text == event.text)`,
		`event.list.all(a, event.text + "b" != "")`,
		many(`event.text`, "+") + ` == ""`,
		many(`event.list`, "+") + ` == []`,
		`event.list.map(a, event.list.map(b, event.list)) == []`,
		`event.list.map(a, event.text + event.text) == []`,
		`event.list.all(a, event.text.matches("(a|a)*b") == false)`,
		`event.list.all(a, event.text.matches("(x+x+)+y") == false)`,
		`event.text.matches(event.text)`,
		`event.list.all(a, event.text.contains("aaaaaaaaaaaaaaaaaaaaaaaab") == false)`,
		`event.list.all(a, event.list.contains(1))`,
		`event.list.all(a, !(7 in event.list) && !("x" in event.list))`,
		`event.list.all(a, {"a": event} == {"a": event})`,
		`event.list.all(a, string(bytes(event.text)) != "")`,
		`event.list.all(a, dyn(event.text) < event.text + "b")`,
		`event.list.all(a, event.text.endsWith(event.text))`,
		`event.list.all(a, type(event) == map)`,
		`event.list.all(a, event[event.text] == 1)`,
		`event.list.all(a, has(event.map.k) && event.map["k" + string(1)] >= 0)`,
		`event.list.filter(a, true).filter(a, true).filter(a, true) == event.list`,
		`event.list.map(a, [a, event.list]) == event.list.map(a, [a, event.list])`,
	} {
		began := time.Now()
		err := New().Check(expression)
		checked := time.Since(began)
		began = time.Now()
		var got bool
		if err == nil {
			got, err = f.Wants(context.Background(), expression, big)
		}
		took := time.Since(began)
		t.Logf("check %8s, evaluate %8s: %.60s: %v %.100v", checked.Round(time.Microsecond), took.Round(time.Microsecond), expression, got, err)
		lab.Promise(t, "the check", checked, time.Second)
		lab.Promise(t, "the evaluation", took, limits.FilterTime+3*time.Second)
	}
	_, err := f.Wants(t.Context(), `[1,2,3,4,5,6,7,8,9,10].all(a, event.list.all(b, event.list.all(c, a > 0)))`, big)
	if o := bridge.Judge(err, false); o.Verdict != protocol.GiveUp || !strings.Contains(o.Reason, "costs more than 100000 units") {
		t.Errorf("judged %+v, want a dead letter because of its cost", o)
	}
}

// TestCutIsNoAnswer: an evaluation that our own stop ends is told by its error.
func TestCutIsNoAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(bridge.ErrCut)
	_, err := New().Wants(ctx, `[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20].all(a, a > 0)`, eventOf(order))
	if err == nil {
		t.Fatal("an evaluation under a cancelled context gave an answer")
	}
	if o := bridge.Judge(err, false); o.Verdict == protocol.GiveUp {
		t.Errorf("judged %+v: a stop must not make a dead letter", o)
	}
}

func TestProgramsAreShared(t *testing.T) {
	t.Parallel()
	f := New()
	for i := range 8192 + 10 {
		c := fmt.Sprintf(`event.total > %d`, i%4096)
		if i > 4096 {
			c = `event.total > 0`
		}
		if _, err := f.Wants(t.Context(), c, eventOf(order)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(f.programs.young) + len(f.programs.aged); n > 8192 {
		t.Errorf("%d programs are kept", n)
	}
	var missing *bridge.AttemptError
	if _, err := f.Wants(t.Context(), `nope`, eventOf(order)); !errors.As(err, &missing) || missing.Fault != bridge.FaultConfig {
		t.Errorf("an expression that does not compile: %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	for b.Loop() {
		if err := New().Check(`event.total > 100 && event.lines.exists(l, l.qty >= 10)`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWants(b *testing.B) {
	f, e := New(), eventOf(order)
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := f.Wants(b.Context(), `event.total > 100 && event.lines.exists(l, l.qty >= 10)`, e); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}

// FuzzFilter: no text makes the check or the evaluation panic, hang or give an
// error of several lines; what the check finds good compiles.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{`event.total > 100`, `event.lines.exists(l, l.qty >= 10)`, `has(event.a) ? event.a == 1 : false`,
		`subject.matches("^a{1,9}(b|c)*$")`, `headers["x"] == "y" && event["a"][0].b != null`, `duration("1h") > duration("5s")`,
		`timestamp(event.at) < timestamp("2026-01-01T00:00:00Z")`, `"\x00" in [b'a', 1u, 1.0e3]`, "a\n// c\n\"\"\"x\"\"\""} {
		f.Add(seed, order)
	}
	filter := New()
	f.Fuzz(func(t *testing.T, expression, data string) {
		if err := New().Check(expression); err != nil {
			if strings.Contains(err.Error(), "\n") || len(err.Error()) > 4096 {
				t.Fatalf("%q: %q", expression, err)
			}
			return
		}
		if _, err := filter.Wants(t.Context(), expression, eventOf(data)); err != nil {
			o := bridge.Judge(err, false)
			if strings.Contains(o.Reason, "\n") || o.Reason == "" || o.EndpointFault {
				t.Fatalf("%q: %+v", expression, o)
			}
		}
	})
}
