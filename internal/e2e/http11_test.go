package e2e

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"orderbridge/internal/lab"
)

// onlyHTTP11 offers HTTP/2 too, as IIS does where it wants a client certificate,
// and then answers it with HTTP_1_1_REQUIRED.
func onlyHTTP11(t *testing.T) (url string, over1, over2 *atomic.Int32) {
	t.Helper()
	over1, over2 = new(atomic.Int32), new(atomic.Int32)
	url = connections(t, lab.TLS("h2", "http/1.1"), func(conn net.Conn) {
		defer conn.Close()
		c := conn.(*tls.Conn)
		if c.Handshake() != nil {
			return
		}
		if c.ConnectionState().NegotiatedProtocol == "h2" {
			refuseHTTP2(c, over2)
			return
		}
		for reader := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			over1.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	return url, over1, over2
}

func refuseHTTP2(conn *tls.Conn, requests *atomic.Int32) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			requests.Add(1)
			_ = f.WriteRSTStream(frame.StreamID, http2.ErrCodeHTTP11Required)
		}
	}
}

// TestHTTP11Required: such an endpoint gets each event once, over HTTP/1.1, with
// either client; nothing is suspended and nothing owed.
func TestHTTP11Required(t *testing.T) {
	t.Parallel()
	for client, most2 := range map[string]int32{"own": 0, "net/http": 16} { // those that are under way when it is learned
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			url, over1, over2 := onlyHTTP11(t)
			p := serving(t, bus.URL(), "ORDERBRIDGE_HTTP_CLIENT="+client)
			subscribe(t, js, "s", fmt.Sprintf(`{"targetURL":"%s/hook",%s}`, url, quickRetries))
			last := uint64(0)
			const n = 20
			for i := range n {
				last = publishOne(t, js, fmt.Sprint("o", i), 1)
			}
			acknowledged(t, js, last)
			nothingOwed(t, js)
			p.stop()
			if over1.Load() != n || over2.Load() > most2 {
				t.Errorf("%d requests over HTTP/1.1 for %d events, %d over HTTP/2", over1.Load(), n, over2.Load())
			}
		})
	}
}
