package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// Strangers at many addresses each begin the body of a login and send no more of it:
// others can log in at the provider meanwhile.
func TestAttackConsoleSlowLogins(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	address := freeAddress(t)
	p := serving(t, bus.URL(), append(atIssuer("http://"+freeAddress(t), "http://"+address+"/", "bridge", oidcSecret), "ORDERBRIDGE_HTTP_LISTEN="+address)...)
	v := consoleOf(t, p)
	v.ask("PUT", "api/login", fmt.Sprintf(`{"answer":"%010000d"}`, 0)).problem(t, 413, "8192 bytes")
	for i := range 64 {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(i+1))}, Timeout: lab.Patience}
		conn, err := from.DialContext(t.Context(), "tcp", address)
		if err != nil {
			t.Skipf("NOT CHECKED: this machine has one address: %v", err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "PUT /api/login HTTP/1.1\r\nHost: "+address+"\r\nX-Orderbridge-Console: act\r\nContent-Length: 100\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Now().Add(2 * time.Second) // for as long as such a body may take at least
	for tries := 0; tries == 0 || time.Now().Before(until); tries++ {
		v.ask("GET", "api/login", "").is(t, 200)
		if r := v.ask("POST", "api/login", ""); tries < 10 {
			r.problem(t, 503, "cannot be asked") // the provider does not run
		}
	}
}
