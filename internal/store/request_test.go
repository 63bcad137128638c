package store

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"orderbridge/bridge"
	"orderbridge/internal/lab"
)

// What a request holds beside what its schema says is refused, by the name of the
// member; what may be a secret is not told.
func TestRequestsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		into           any
		request, wrong string // "": it is good
	}{
		{&ExplainRequest{}, `{"sequence":5,"headers":{"a":"b","c":["d","e"]},"others":3,"event":{"x":[null,{"x":1,"x":2}]}}`, ""},
		{&ExplainRequest{}, " {\"sequence\":18446744073709551615}\n", ""},
		{&ExplainRequest{}, `{"event":null,"data":"e30="}`, ""},
		{&StreamRequest{}, `{"begin":{"fromTime":"2026-03-01T12:00:00+01:00"}}`, ""},
		{&ReplayCommand{}, `{"subscription":"s","dryrun":true}`, `dryrun: is unknown; the nearest known member is "dryRun"`},
		{&ReplayCommand{}, `{"subscription":"s","dryRun":"true"}`, `dryRun: must be a boolean, is a string ("true")`},
		{&ReplayCommand{}, `{"subscription":"s","dryRun":null}`, `dryRun: is null; give a value or leave it out`},
		{&ReplayCommand{}, `{"subscription":"s","since":"yesterday"}`, `since: must be a time like 2026-03-01T12:00:00Z, is a string ("yesterday")`},
		{&ReplayCommand{}, `{"subscription":"a","subscr\u0069ption":"b"}`, `subscription: is given more than once; keep one`},
		{&SkipRequest{}, `{"subscription":"s","order":4711}`, `order: must be a string, is a number (4711)`},
		{&SkipRequest{}, `{"order":"1","sequence":-1}`, `sequence: must be a whole number of at least 0, is a number (-1)`},
		{&SkipRequest{}, `{"order":"1","sequence":1.5}`, `sequence: must be a whole number of at least 0, is a number (1.5)`},
		{&SkipRequest{}, `{"order":"1","hunter2":"hunter3"}`, `hunter2: is unknown; known are order, reason, sequence, subscription`},
		{&SkipRequest{}, `{"order":"1"}{"order":"2"}`, `the request is not JSON: line 1, column 14: invalid character '{' after top-level value`},
		{&SkipRequest{}, `{"order":"1"`, `the request is not JSON: it ends too early; is a } or a quote missing?`},
		{&SkipRequest{}, ` `, `the request is empty; it is a JSON object, known are order, reason, sequence, subscription`},
		{&SkipRequest{}, `["1"]`, `the request must be an object, is an array; known are order, reason, sequence, subscription`},
		{&OverviewRequest{}, ``, ""},
		{&OverviewRequest{}, `{"a":1}`, "a: is unknown; nothing is known here"},
		{&ShardsRequest{}, `{"set":true}`, `set: must be a whole number, is a boolean (true)`},
		{&StreamRequest{}, `{"begin":{"seq":5},"adopt":1}`, `begin.seq: is unknown; known are atEnd, fromSeq, fromTime; adopt: must be a boolean, is a number (1)`},
		{&ExplainRequest{}, `{"headers":"Bearer hunter2"}`, `headers: must be an object, is a string`},
		{&JudgeRequest{}, `{"id":"a","record":{"secret":"hunter2"}}`, `record: must be a string in base64, is an object`},
		{&JudgeRequest{}, `{"id":"a","record":"hunter2!"}`, `record: must be a string in base64, is a string`},
		{&ExplainRequest{}, `{"headers":{"a":"b","a":"c"}}`, `headers.a: is given more than once; keep one`},
		{&ExplainRequest{}, `{"headers":{"a":["hunter2",3]}}`, `headers.a: must be a string or an array, each item a string, is an array`},
		{&ExplainRequest{}, `{"headers":["a"]}`, `headers: must be an object, is an array`},
		{&LettersRequest{}, `{"reason":` + strconv.Quote(strings.Repeat("x", 99)) + `,"order":` + strings.Repeat("9", 99) + `}`,
			`order: must be a string, is a number (` + strings.Repeat("9", 80) + `…)`},
	} {
		wrong := ""
		if err := ReadRequest([]byte(tt.request), tt.into); err != nil {
			wrong = err.Error()
		}
		if wrong != tt.wrong {
			t.Errorf("%T of %.200s\n got %s\nwant %s", tt.into, tt.request, wrong, tt.wrong)
		}
	}
	var many strings.Builder
	for i := range 10_000 {
		many.WriteString(`,"` + strings.Repeat("x", 300) + strconv.Itoa(i) + `":1`)
	}
	if err := ReadRequest([]byte("{"+many.String()[1:]+"}"), &SkipRequest{}); err == nil || len(err.Error()) > 8<<10 {
		t.Errorf("a request that is all wrong is told so in %d bytes", len(err.Error()))
	}
}

// leading is a leader that is asked nothing.
type leading struct{ Leader }

func (leading) LeadsFirst() bool { return true }

func (leading) Skip(context.Context, string, string, uint64, string) (uint64, error) {
	return 0, bridge.ErrNotLeader
}

// Each command and question says in the service's form what is wrong with a request.
func TestServiceRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	names, _, err := Ensure(t.Context(), js, Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	commands := Commands{Conn: js.Conn(), Names: names, Log: slog.New(slog.DiscardHandler), Bridge: leading{}, Explainer: &Explainer{}}
	go func() { done <- commands.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	ask := func(name, request string) (m *nats.Msg) {
		t.Helper()
		for end := time.Now().Add(lab.Patience); ; { // the last ones are being added
			m, err := js.Conn().Request(names.Commands+"."+name, []byte(request), lab.Patience)
			if err == nil {
				return m
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	for _, e := range commands.endpoints() {
		m := ask(e.name, `{"nonsense":"hunter2"}`)
		if m.Header.Get(micro.ErrorCodeHeader) != strconv.Itoa(http.StatusBadRequest) || !strings.HasPrefix(string(m.Data), `{"reason":"nonsense: is unknown; `) ||
			strings.Contains(string(m.Data), "hunter2") {
			t.Errorf("%s: got %v %s", e.name, m.Header, m.Data)
		}
	}
	for name, request := range map[string]string{"retry-now": `{}`, "skip": `{"subscription":"s"}`, "ids": `{"limit":0}`} {
		if m := ask(name, request); m.Header.Get(micro.ErrorCodeHeader) != strconv.Itoa(http.StatusBadRequest) {
			t.Errorf("%s of %s: got %v %s", name, request, m.Header, m.Data)
		}
	}
}
