package e2e

import (
	"flag"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

var attacks = flag.Bool("attack", false, "attack the built program (minutes)")

// attack begins each test of `make attack`: one that plays a role of
// docs/security.md against the built program. They run one after the other: each
// loads the machine, and looks at how others fare meanwhile.
func attack(t *testing.T) {
	t.Helper()
	if !*attacks {
		t.Skip("make attack runs it")
	}
}

// resident is the memory of the process, in bytes.
func (p *program) resident() int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		p.t.Skipf("the memory of a process cannot be read here: %v", err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		p.t.Fatalf("/proc tells no VmRSS of the process: it has ended")
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kib << 10
}

// flood is an endpoint that answers each request with a beginning, and then
// with the same bytes until the client has had enough.
func flood(t *testing.T, begin, more string) (url string) {
	t.Helper()
	return connections(t, nil, func(conn net.Conn) { pour(conn, begin, more) })
}

func pour(conn net.Conn, begin, more string) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return
	}
	request := make([]byte, 4<<10)
	if _, err := conn.Read(request); err != nil {
		return
	}
	for text := begin; ; text = more {
		if _, err := conn.Write([]byte(text)); err != nil {
			return
		}
	}
}

// A hostile endpoint never ends its answer, in whatever part of it. It costs
// the bridge no memory, and the neighbour no time.
func TestAttackEndlessAnswers(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	block := fmt.Sprintf("X-Pad: %01000d\r\n", 0)
	for name, url := range map[string]string{
		"line":    flood(t, "HTTP/1.1 2", "0000000000000000"),
		"interim": flood(t, "", "HTTP/1.1 103 Early Hints\r\n\r\n"),
		"head":    flood(t, "HTTP/1.1 200 OK\r\n", block),
		"body":    flood(t, "HTTP/1.1 200 OK\r\n\r\n", block),
		"text":    flood(t, "HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n", block),
		"chunk":   flood(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "00000000000000000000"),
		"chunks":  flood(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		"trailer": flood(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", block),
	} {
		subscribe(t, js, name, `{"targetURL":"`+url+`/hook","timeout":"PT5S"}`)
	}
	neighbour := receive(t, nil)
	subscribe(t, js, "neighbour", recordFor(neighbour))
	before := p.resident()
	for n := range 50 {
		publishOne(t, js, fmt.Sprintf("o%d", n), 1)
	}
	took := await(t, 10*time.Second, "the neighbour has all", func() bool { return neighbour.Delivered() == 50 })
	lab.Promise(t, "until the neighbour has 50 events", took, 10*time.Second)
	// A 2xx counts by its first line: whatever follows it is a success.
	last := publishOne(t, js, "last", 1)
	acknowledged(t, js, last)
	verdict(t, js, "interim", 1, protocol.StateActive, protocol.StateSuspended)
	after := p.resident()
	bounded(t, "memory that the program takes more", after-before, 200<<20)
}

// A hostile endpoint lets the rest of a success drip, byte by byte: its one slot
// is free again within a second.
func TestAttackDrippingAnswers(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	serving(t, bus.URL())
	var begun atomic.Int64
	drip := func(head, body string) func(net.Conn) {
		return func(conn net.Conn) {
			defer conn.Close()
			end := time.Now().Add(2 * lab.Patience)
			if err := conn.SetDeadline(end); err != nil {
				return
			}
			if _, err := conn.Read(make([]byte, 4<<10)); err != nil {
				return
			}
			begun.Add(1)
			for text := head; time.Now().Before(end); text = body {
				if _, err := conn.Write([]byte(text)); err != nil {
					return
				}
				<-time.After(100 * time.Millisecond)
			}
		}
	}
	for _, tt := range []struct{ name, head, more string }{
		{"status", "HTTP/1.1 200 OK", " "},
		{"heads", "HTTP/1.1 200 OK\r\nX-Slow: ", "x"},
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", "x"},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"},
		{"end", "HTTP/1.1 200 OK\r\n\r\n", "x"},
		{"failure", "HTTP/1.1 500 No\r\nContent-Length: 60000\r\n\r\n", "x"},
	} {
		url := connections(t, nil, drip(tt.head, tt.more))
		subscribe(t, js, tt.name, `{"targetURL":"`+url+`/hook","timeout":"PT3S","maxInFlight":1,"ordering":"none","subjects":["orders.acme.Drip.`+tt.name+`.>"]}`)
		before := begun.Load()
		const events = 4
		for n := range events {
			publishMsg(t, js, &nats.Msg{Subject: fmt.Sprintf("orders.acme.Drip.%s.%d", tt.name, n), Data: []byte(`{}`)})
		}
		per := 2 * time.Second // of which the bridge takes at most 1.1 s
		if tt.name == "status" {
			per = 5 * time.Second // without the line's end there is no answer: the attempt's own timeout counts
		}
		took := await(t, 0, tt.name+": each event was sent", func() bool { return begun.Load() >= before+events })
		lab.Promise(t, fmt.Sprintf("%s: until %d requests one after another have begun", tt.name, events), took, events*per)
	}
}
