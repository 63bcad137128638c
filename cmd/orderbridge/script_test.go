package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/testscript"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/health"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
	"orderbridge/publishers"
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "orderbridge" {
		// Most of these tests wait most of the time.
		if err := flag.Set("test.parallel", "12"); err != nil {
			panic(err)
		}
	}
	testscript.Main(m, map[string]func(){"orderbridge": main})
}

// TestScripts runs the manual: each script has a NATS server of its own.
// Beside the program and the commands of testscript they use
//
//	served                     what `orderbridge serve` makes on a new bus
//	kv BUCKET KEY [VALUE]      put a value as it stands, or print it
//	event SEQUENCE             print the subject, Nats-Msg-Id and bytes of an event
//	exitcode N COMMAND...      run a command that must end with this exit code
//	bury SUBSCRIPTION REASON   store a dead letter
//	leader ACCEPTED|REASON     answer commands as a leader does
//	ready / unready REASON     answer /readyz
//	freeport NAME              set a variable to an address that nobody has
//	eventually [!] COMMAND...  repeat a command until it is good (or fails)
//	expand FILE                replace variables in a file
//	endpoint NAME STATUS       set a variable to the URL of an endpoint that answers so
//	received METHOD PATH       wait for a request to an endpoint
//	says SUBSCRIPTION STATE    wait until the bridge says so
//	leads                      wait until the bridge leads
//	records DIR N              write N files of records, DIR/p001.yaml and so on
//	cmpbut REGEXP A B          compare two files but for the lines that match
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			bus := lab.ListenBus(env.T().(testing.TB))
			env.Setenv("ORDERBRIDGE_NATS_URL", bus.URL())
			env.Values["bus"] = bus
			env.Values["requests"] = make(chan string, 100)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exitcode":   exitcode,
			"served":     served,
			"kv":         kv,
			"event":      eventCommand,
			"bury":       bury,
			"leader":     leader,
			"freeport":   freeport,
			"eventually": eventually,
			"endpoint":   endpoint,
			"expand":     expand,
			"received":   received,
			"says":       says,
			"leads":      leads,
			"records":    recordFiles,
			"cmpbut":     compareBut,
			"ready": func(ts *testscript.TestScript, _ bool, _ []string) {
				answerHealth(ts, health.Readiness{Ready: true, Role: health.RoleLeader})
			},
			"unready": func(ts *testscript.TestScript, _ bool, args []string) {
				answerHealth(ts, health.Readiness{Role: health.RoleStandby, Reasons: args})
			},
		},
	})
}

func busOf(ts *testscript.TestScript) *lab.Bus { return ts.Value("bus").(*lab.Bus) }

func compareBut(ts *testscript.TestScript, _ bool, args []string) {
	but := regexp.MustCompile("(?m)^.*" + args[0] + ".*$")
	a, b := but.ReplaceAllString(ts.ReadFile(args[1]), ""), but.ReplaceAllString(ts.ReadFile(args[2]), "")
	if a != b {
		ts.Fatalf("%s and %s differ:\n%s\n%s", args[1], args[2], a, b)
	}
}

func exitcode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func served(ts *testscript.TestScript, _ bool, _ []string) {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	_, found, err := store.Ensure(ctx, busOf(ts).JetStream(), store.Options{Prefix: ts.Getenv("ORDERBRIDGE_PREFIX"), Subjects: []string{"orders", "orders.>"}})
	ts.Check(err)
	for _, f := range found {
		if f.Severity == store.Error {
			ts.Fatalf("%s", f)
		}
	}
}

func kv(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	bucket, err := busOf(ts).JetStream().KeyValue(ctx, args[0])
	ts.Check(err)
	if len(args) == 3 {
		_, err = bucket.PutString(ctx, args[1], args[2])
		ts.Check(err)
		return
	}
	entry, err := bucket.Get(ctx, args[1])
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", entry.Value())
}

func eventCommand(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	sequences, err := parseSequences(args)
	ts.Check(err)
	stream, err := busOf(ts).JetStream().Stream(ctx, "ORDERS")
	ts.Check(err)
	msg, err := stream.GetMsg(ctx, sequences[0])
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s id=%s %s\n", msg.Subject, msg.Header.Get(jetstream.MsgIDHeader), msg.Data)
}

func bury(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	letters, err := publishers.NewDeadLetters(publishers.DeadLettersOptions{JetStream: busOf(ts).JetStream(), Stream: "DEAD_LETTERS", Subject: "dead-letters"})
	ts.Check(err)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ts.Check(letters.Store(ctx, protocol.DeadLetter{
		Subscription: args[0], Generation: 7, Lane: "4711", Key: "4711", Reason: args[1], Attempts: 9, LastStatus: 503,
		DeliveryID: "e1." + args[0] + ".7", Stream: "ORDERS", Sequence: 3, Time: at,
		Event: &event.Event{Message: event.Message{Seq: 3, Time: at, Subject: "orders.acme", Data: []byte(`{"orderId":"4711"}`)}, ID: "e1", OrderID: "4711"},
	}))
}

func leader(ts *testscript.TestScript, _ bool, args []string) {
	nc := busOf(ts).Conn()
	answer := `{"accepted":true}`
	if args[0] != "accepted" {
		answer = `{"accepted":false,"reason":"` + args[0] + `"}`
	}
	_, err := nc.Subscribe("orderbridge.redrive", func(m *nats.Msg) {
		want := `{"subscription":"acme","generation":7,"sequence":`
		if !strings.HasPrefix(string(m.Data), want) {
			answer = `{"accepted":false,"reason":"not what was agreed on"}`
		}
		_ = m.Respond([]byte(answer)) // the command says it when nothing comes
	})
	ts.Check(err)
	ts.Check(nc.Flush())
}

func freeport(ts *testscript.TestScript, _ bool, args []string) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], l.Addr().String())
}

func eventually(ts *testscript.TestScript, _ bool, args []string) {
	good := true
	if args[0] == "!" {
		good, args = false, args[1:]
	}
	deadline := time.Now().Add(lab.Patience)
	for (ts.Exec(args[0], args[1:]...) == nil) != good {
		if time.Now().After(deadline) {
			ts.Fatalf("never good: %q", args)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func expand(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	text := os.Expand(ts.ReadFile(path), ts.Getenv)
	ts.Check(os.WriteFile(path, []byte(text), 0o600))
}

// endpoint answers with the status; "503,200" is 503 once, then 200.
func endpoint(ts *testscript.TestScript, _ bool, args []string) {
	var statuses []int
	for s := range strings.SplitSeq(args[1], ",") {
		status, err := strconv.Atoi(s)
		ts.Check(err)
		statuses = append(statuses, status)
	}
	requests := ts.Value("requests").(chan string)
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		w.WriteHeader(statuses[min(int(n.Add(1)), len(statuses))-1])
		requests <- r.Method + " " + r.URL.Path + " " + string(body)
	}))
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

func received(ts *testscript.TestScript, _ bool, args []string) {
	want := strings.Join(args, " ")
	select {
	case got := <-ts.Value("requests").(chan string):
		if got != want {
			ts.Fatalf("the endpoint got %q, want %q", got, want)
		}
	case <-time.After(lab.Patience):
		ts.Fatalf("the endpoint got nothing, want %q", want)
	}
}

func recordFiles(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o750))
	for i := range n {
		id := fmt.Sprintf("p%03d", i+1)
		text := fmt.Sprintf("# partner %s\ntargetURL: https://%s.example.com/orders/{orderId}\nmethod: PUT\nlabels: {from: git}\nsecret: hunter2-%s\n", id, id, id)
		ts.Check(os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600))
	}
}

func leads(ts *testscript.TestScript, _ bool, _ []string) {
	deadline := time.Now().Add(lab.Patience)
	for ts.Exec("orderbridge", "healthcheck") != nil || !strings.Contains(ts.ReadFile("stdout"), `"role":"leader"`) {
		if time.Now().After(deadline) {
			ts.Fatalf("never leads")
		}
		<-time.After(50 * time.Millisecond)
	}
}

func says(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	bucket, err := busOf(ts).JetStream().KeyValue(ctx, "subscription_status")
	ts.Check(err)
	w, err := bucket.Watch(ctx, args[0])
	ts.Check(err)
	defer w.Stop()
	for e := range w.Updates() {
		var status protocol.Status
		if e != nil && json.Unmarshal(e.Value(), &status) == nil && string(status.State) == args[1] {
			return
		}
	}
	ts.Fatalf("the bridge never said that %s is %s", args[0], args[1])
}

func answerHealth(ts *testscript.TestScript, r health.Readiness) {
	s, err := health.Listen(health.Options{
		Listen: "127.0.0.1:0", Readiness: func() health.Readiness { return r },
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler),
	})
	ts.Check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		<-done
	})
	ts.Setenv("ORDERBRIDGE_HTTP_LISTEN", s.Addr().String())
}

func TestPublishedInputs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		in   string
		want []string
		err  string
	}{
		"one":                 {in: " {\"a\":1}\n", want: []string{`{"a":1}`}},
		"over several lines":  {in: "{\n \"a\": 1\n}\n", want: []string{"{\n \"a\": 1\n}"}},
		"one a line":          {in: "{\"a\":1}\n\n{\"a\":2}\r\n", want: []string{`{"a":1}`, `{"a":2}`}},
		"an array is one":     {in: "[1,\n2]", want: []string{"[1,\n2]"}},
		"empty":               {in: " \n", err: "there is no event in it"},
		"a bad line":          {in: "{}\n{}\n{\"a\":}\n{}", err: "line 3 is not JSON: invalid character '}' looking for beginning of value"},
		"a bad document":      {in: "{\n\"a\": 1,\n}", err: "line 3 is not JSON: invalid character '}' looking for beginning of object key string"},
		"text":                {in: "hello", err: "line 1 is not JSON: invalid character 'h' looking for beginning of value"},
		"two on the one line": {in: "{} {}", err: "line 1 is not JSON: invalid character '{' after top-level value"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := splitEvents([]byte(tt.in))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || len(events) != len(tt.want) {
				t.Fatalf("got %q, %v", events, err)
			}
			for i := range events {
				if string(events[i]) != tt.want[i] {
					t.Errorf("event %d is %q, want %q", i, events[i], tt.want[i])
				}
			}
		})
	}
}

func TestWithStatusKeepsAllOtherBytes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ record, status, want string }{
		{`{"targetURL":"x"}`, "deactivated", `{"status":"deactivated","targetURL":"x"}`},
		{"{\n  \"targetURL\" : \"x\"\n}\n", "deactivated", "{\"status\":\"deactivated\",\n  \"targetURL\" : \"x\"\n}\n"},
		{`{ "status" : "active" , "n": 1.50 }`, "deactivated", `{ "status" : "deactivated" , "n": 1.50 }`},
		{`{"a":{"status":"active"},"status":"deactivated","z":"é\u00e9"}`, "active", `{"a":{"status":"active"},"status":"active","z":"é\u00e9"}`},
		{`{"st\u0061tus":"active"}`, "deactivated", `{"st\u0061tus":"deactivated"}`},
		{`{"status":null}`, "active", `{"status":"active"}`},
		{`{}`, "deactivated", `{"status":"deactivated"}`},
		{`{"targetURL":"x"}`, "active", `{"targetURL":"x"}`},
		{`{"status":"deactivated"}`, "deactivated", `{"status":"deactivated"}`},
	} {
		got, err := store.WithStatus([]byte(tt.record), tt.status)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s of %s: got %s, %v, want %s", tt.status, tt.record, got, err, tt.want)
		}
	}
	for _, record := range []string{``, `[]`, `"status"`, `{"status":"active","status":"active"}`, `{"status"`} {
		if got, err := store.WithStatus([]byte(record), "deactivated"); err == nil {
			t.Errorf("%s: got %s, want an error", record, got)
		}
	}
}

func TestRedactRecordShowsNoSecret(t *testing.T) {
	t.Parallel()
	const record = `{"targetURL":"https://u:hunter2@h/a?b=c&d&token=hunter2&id={orderId}","auth":{"type":"basic","username":"u","password":"hunter2"},
		"key":"hunter2","secret":"hunter2","signing":{"secrets":["hunter2","env:ORDERBRIDGE_SECRET_X"]},
		"headers":{"X-Api-Key":"hunter2"},"tls":{"keyPassword":"hunter2"},"maxInFlight":1.50,"passwort":"hunter2","labels":{"any":"name"},"Password":{"deep":["hunter2",7]}}`
	got, err := redactRecord([]byte(record))
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	if strings.Contains(text, "hunter2") {
		t.Errorf("shows a secret:\n%s", text)
	}
	for _, want := range []string{`"https://[redacted]@h/a?b=[redacted]&d&token=[redacted]&id={orderId}"`, `"any": "name"`, `"username": "u"`, `"env:ORDERBRIDGE_SECRET_X"`, `"maxInFlight": 1.50`, `"X-Api-Key": "[redacted]"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing in\n%s", want, text)
		}
	}
	if _, err := redactRecord([]byte(`{"secret":"hunter2`)); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestTableIsPlainAndHarmless(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	cmd := newRoot()
	cmd.SetOut(&b)
	table := newTable("ID", "REASON")
	table.row("a", "é\x1b[31mred\nx")
	table.row("long-id", "")
	if err := table.print(cmd); err != nil {
		t.Fatal(err)
	}
	want := "ID       REASON\na        é·[31mred·x\nlong-id\n"
	if b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestReadmeShowsAGoodRecord(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```json\n")
	rec, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md shows no record")
	}
	if _, problems := record.Parse("acme", []byte(rec), record.Policy{}); problems.Err() != nil {
		t.Error(problems)
	}
}

func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("../../docs/decisions/0001-record-decisions.md")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/decisions/0*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); !strings.HasPrefix(name, "0001-") && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("%s is not in the list of 0001-record-decisions.md", name)
		}
	}
}

func TestEveryCommandHasAnExample(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("testdata/script"); err != nil {
		t.Fatal(err)
	}
	commands := newRoot().Commands()
	for len(commands) > 0 {
		c := commands[0]
		commands = append(commands[1:], c.Commands()...)
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s lacks a line of what it does, or an example", c.CommandPath())
		}
	}
}
