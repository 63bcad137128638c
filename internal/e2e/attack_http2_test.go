package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"orderbridge/internal/lab"
)

// flood2 is an endpoint that speaks HTTP/2 only, answers each request with
// begin and then sends what more writes until the connection is closed. It
// counts the connections on which it still sends.
func flood2(t *testing.T, begin, more func(f *http2.Framer, stream uint32) error) (url string, sending *atomic.Int64) {
	t.Helper()
	config := lab.TLS("h2")
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		fitting := config.Clone()
		fitting.GetConfigForClient = nil
		if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == "http/1.1" {
			fitting.NextProtos = []string{"none"} // crypto/tls is lenient with servers that offer h2 alone
		}
		return fitting, nil
	}
	sending = &atomic.Int64{}
	return connections(t, config, func(conn net.Conn) { pour2(conn, begin, more, sending) }), sending
}

func pour2(conn net.Conn, begin, more func(f *http2.Framer, stream uint32) error, sending *atomic.Int64) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * lab.Patience)); err != nil {
		return
	}
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.AllowIllegalWrites = true
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		head, ok := frame.(*http2.HeadersFrame)
		if !ok {
			continue
		}
		if begin(f, head.StreamID) != nil {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }() // what the client answers
		sending.Add(1)
		defer sending.Add(-1)
		var batch bytes.Buffer // many frames in a write, as a flood would
		g := http2.NewFramer(&batch, nil)
		g.AllowIllegalWrites = true
		for {
			batch.Reset()
			for batch.Len() < 8<<10 {
				if more(g, head.StreamID) != nil {
					return
				}
			}
			if _, err := conn.Write(batch.Bytes()); err != nil {
				return
			}
		}
	}
}

// headBlock is a head in HPACK: status, then pairs of names and values.
func headBlock(status string, pairs ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	_ = e.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for i := 0; i+1 < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1], Sensitive: true})
	}
	return b.Bytes()
}

// heads writes a head that ends its stream or not.
func heads(block []byte, endHeaders, endStream bool) func(*http2.Framer, uint32) error {
	return func(f *http2.Framer, stream uint32) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndHeaders: endHeaders, EndStream: endStream})
	}
}

// burned is the processor time that the process has used.
func (p *program) burned() time.Duration {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		p.t.Skipf("the processor time of a process cannot be read here: %v", err)
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	ticks := int64(0)
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// A hostile endpoint speaks HTTP/2 and goes on sending, during its answer and
// after it, whatever HTTP/2 allows. Each such connection ends, and no core is
// busy with it.
func TestAttackHTTP2Floods(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL())
	ok := headBlock("200")
	answered := heads(ok, true, true)
	open := heads(ok, true, false)
	nothing := func(*http2.Framer, uint32) error { return nil }
	ping := func(f *http2.Framer, _ uint32) error { return f.WritePing(false, [8]byte{1}) }
	settings := func(f *http2.Framer, _ uint32) error { return f.WriteSettings() }
	type write = func(*http2.Framer, uint32) error
	var floods []*atomic.Int64
	for name, tc := range map[string]struct{ begin, more write }{
		"data-after":       {answered, func(f *http2.Framer, s uint32) error { return f.WriteData(s, false, nil) }},
		"data-within":      {open, func(f *http2.Framer, s uint32) error { return f.WriteData(s, false, nil) }},
		"data-padded":      {open, func(f *http2.Framer, s uint32) error { return f.WriteDataPadded(s, false, nil, []byte{0}) }},
		"ping-after":       {answered, ping},
		"ping-instead":     {nothing, ping},
		"settings-after":   {answered, settings},
		"settings-instead": {nothing, settings},
		"window":           {nothing, func(f *http2.Framer, s uint32) error { return f.WriteWindowUpdate(0, 1) }},
		"priority":         {answered, func(f *http2.Framer, s uint32) error { return f.WritePriority(s, http2.PriorityParam{}) }},
		"unknown":          {answered, func(f *http2.Framer, s uint32) error { return f.WriteRawFrame(0xf0, 0, s, nil) }},
		"reset":            {nothing, func(f *http2.Framer, s uint32) error { return f.WriteRSTStream(s+2, http2.ErrCodeCancel) }},
		"goaway":           {answered, func(f *http2.Framer, s uint32) error { return f.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil) }},
		"interim":          {nothing, heads(headBlock("103", "x", strings.Repeat("y", 50)), true, false)},
		"continuation":     {heads(ok, false, false), func(f *http2.Framer, s uint32) error { return f.WriteContinuation(s, false, nil) }},
		"head": {heads(ok, false, false), func(f *http2.Framer, s uint32) error {
			return f.WriteContinuation(s, false, headBlock("200", "x", strings.Repeat("y", 4000)))
		}},
		"trailers": {open, heads(headBlock("200", "x", strings.Repeat("y", 50)), true, false)},
	} {
		url, sending := flood2(t, tc.begin, tc.more)
		floods = append(floods, sending)
		subscribe(t, js, name, `{"targetURL":"`+url+`/hook","timeout":"PT5S","retry":{"schedule":["PT1H"]}}`)
	}
	neighbour := receive(t, nil)
	subscribe(t, js, "neighbour", recordFor(neighbour))
	before := p.burned()
	for n := range 20 {
		publishOne(t, js, fmt.Sprintf("o%d", n), 1)
	}
	took := await(t, 10*time.Second, "the neighbour has all", func() bool { return neighbour.Delivered() == 20 })
	lab.Promise(t, "until the neighbour has 20 events", took, 10*time.Second)
	await(t, 30*time.Second, "no flood goes on", func() bool {
		for _, sending := range floods {
			if sending.Load() > 0 {
				return false
			}
		}
		return true
	})
	burned := p.burned() - before
	lab.Promise(t, "processor time burned", burned, 20*time.Second)
}
