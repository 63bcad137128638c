package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// recordLimit is a limit of a member, and the member's value that is so much over
// it.
type recordLimit struct {
	limit  string
	member string
	value  func(over int) string
}

const recordURL = "https://example.com/"

func longText(n int) string { return strings.Repeat("x", n) }

// longList is a list of n strings, longMembers an object of n members.
func longList(n int, entry string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"`+entry+`"`, i))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func longMembers(n int, entry string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`"`+entry+`":"v"`, i))
	}
	return "{" + strings.Join(all, ",") + "}"
}

func recordLimits() []recordLimit {
	return []recordLimit{
		{"RecordURL", "targetURL", func(n int) string { return `"` + recordURL + longText(limits.RecordURL-len(recordURL)+n) + `"` }},
		{"RecordList", "subjects", func(n int) string { return longList(limits.RecordList+n, "orders.acme.T%d") }},
		{"RecordList", "eventTypes", func(n int) string { return longList(limits.RecordList+n, "T%d") }},
		{"RecordList", "headers", func(n int) string { return longMembers(limits.RecordList+n, "X-H%d") }},
		{"RecordList", "labels", func(n int) string { return longMembers(limits.RecordList+n, "l%d") }},
		{"RecordList", "retry", func(n int) string {
			return `{"schedule":[` + strings.TrimSuffix(strings.Repeat(`"PT5S",`, limits.RecordList+n), ",") + `]}`
		}},
		{"RecordSubject", "subjects", func(n int) string { return `["orders.` + longText(limits.RecordSubject-len("orders.")+n) + `"]` }},
		{"RecordName", "eventTypes", func(n int) string { return `["` + longText(limits.RecordName+n) + `"]` }},
		{"RecordText", "description", func(n int) string { return `"` + longText(limits.RecordText+n) + `"` }},
		{"RecordInFlight", "maxInFlight", func(n int) string { return fmt.Sprint(limits.RecordInFlight + n) }},
		{"RecordRate", "rateLimit", func(n int) string { return fmt.Sprintf(`{"requests":%d,"per":"PT1S"}`, limits.RecordRate+n) }},
		{"RecordRateTime", "rateLimit", func(n int) string {
			return fmt.Sprintf(`{"requests":1,"per":"PT%dS"}`, int(limits.RecordRateTime/time.Second)+n)
		}},
		{"RecordAttemptTime", "timeout", func(n int) string { return fmt.Sprintf(`"PT%dS"`, int(limits.RecordAttemptTime/time.Second)+n) }},
		{"RecordAttemptTime", "connectionTimeout", func(n int) string { return fmt.Sprintf(`"PT%dS"`, int(limits.RecordAttemptTime/time.Second)+n) }},
		{"RecordWait", "retry", func(n int) string {
			return fmt.Sprintf(`{"schedule":["PT%dS"]}`, int(limits.RecordWait/time.Second)+n)
		}},
		{"RecordFilter", "filter", func(n int) string {
			return `"event.x == '` + longText(limits.RecordFilter-len("event.x == ''")+n) + `'"`
		}},
		{"RecordSigningSecrets", "signing", func(n int) string {
			return `{"secrets":` + longList(limits.RecordSigningSecrets+n, "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMD%02d") + `}`
		}},
	}
}

// A writer of records goes past each bound of a record: it is invalid, and its
// status names the member and the bound. At the bound it is good.
func TestAttackBeyondTheLimitsOfARecord(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	for _, tt := range recordLimits() {
		value := func(over int) string {
			if tt.member == "targetURL" {
				return `{"targetURL":` + tt.value(over) + `}`
			}
			return `{"targetURL":"` + recordURL + `","` + tt.member + `":` + tt.value(over) + `}`
		}
		id := tt.limit + "-" + tt.member
		revision := put(t, js, id, value(0))
		verdict(t, js, id, revision, protocol.StateActive)
		revision = put(t, js, id, value(1))
		refused(t, js, id, revision, tt.member)
	}
	whole := func(over int) string {
		return `{"targetURL":"` + recordURL + `"` + strings.Repeat(" ", limits.RecordBytes-len(recordURL)-len(`{"targetURL":""}`)+over) + `}`
	}
	verdict(t, js, "whole", put(t, js, "whole", whole(0)), protocol.StateActive)
	refused(t, js, "whole", put(t, js, "whole", whole(1)), fmt.Sprint(limits.RecordBytes))
	wrong := `{"targetURL":"` + recordURL + `"` + strings.Repeat(`,"x":1`, 2*limits.RecordProblems) + `}`
	if st, _ := verdict(t, js, "wrong", put(t, js, "wrong", wrong), protocol.StateInvalid); len(st.Errors) > limits.RecordProblems+1 {
		t.Errorf("%d problems are told", len(st.Errors))
	}
	if r, status := p.readyz(); status != 200 {
		t.Errorf("not ready after that: %v", r)
	}
}

// refused waits for the verdict "invalid" that says the text.
func refused(t *testing.T, js jetstream.JetStream, id string, revision uint64, text string) {
	t.Helper()
	st, _ := verdict(t, js, id, revision, protocol.StateInvalid)
	if all := fmt.Sprint(st.Reason, st.Errors); !strings.Contains(all, text) {
		t.Errorf("%s: the verdict does not speak of %s: %s", id, text, all)
	}
}

// A neighbour on the network goes past the bounds of the HTTP listener.
func TestAttackBeyondTheLimitsOfTheListener(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL(), apiTokens)
	api := bearer(t, p, operator)
	api.call("POST", webhooks, `{"targetURL":"https://example.com/","description":"`+strings.Repeat("x", limits.APIBodyBytes)+`"}`, "Content-Type", "application/json").problem(t, 413)
	// The head of a request: net/http allows 4 KiB more.
	if s := status(t, p, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Pad: "+strings.Repeat("x", limits.HTTPHeaderBytes+8<<10)+"\r\n\r\n"); s != "431" {
		t.Errorf("a head that is too long: %q", s)
	}
	// A head, and a body, that never end cost their connection in time.
	for _, begin := range []string{"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", "", "POST " + webhooks + " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + acmeToken + "\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n{"} {
		conn := dialTo(t, p)
		fmt.Fprint(conn, begin)
		lab.Promise(t, fmt.Sprintf("until a connection that has sent %q is closed", begin[:min(30, len(begin))]),
			closed(t, conn), limits.HTTPReadTime+15*time.Second)
	}
	if _, code := p.readyz(); code != 200 {
		t.Errorf("/readyz answers %d after that", code)
	}
}

func dialTo(t *testing.T, p *program) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.http(), lab.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// status sends a request as it stands and returns the status of the answer.
func status(t *testing.T, p *program, request string) string {
	t.Helper()
	conn := dialTo(t, p)
	if err := conn.SetDeadline(time.Now().Add(lab.Patience)); err != nil {
		t.Fatal(err)
	}
	go fmt.Fprint(conn, request)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if f := strings.Fields(line); err == nil && len(f) > 1 {
		return f[1]
	}
	return fmt.Sprint(line, err)
}

// closed waits until the other end has closed the connection.
func closed(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if err := conn.SetReadDeadline(start.Add(lab.Patience)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 1024); ; {
		if _, err := conn.Read(b); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("not closed within %s", lab.Patience)
		} else if err != nil {
			return time.Since(start)
		}
	}
}
