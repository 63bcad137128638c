package lab

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/internal/localca"
)

// CA is the authority of all endpoints of this process.
var CA = sync.OnceValue(func() *localca.CA {
	ca, err := NewCA()
	if err != nil {
		panic(err) // its only source of errors is the random one
	}
	return ca
})

// TLS are the settings of an endpoint: a certificate of CA, and the protocols
// that it offers; default: HTTP/1.1.
func TLS(protocols ...string) *tls.Config {
	if len(protocols) == 0 {
		protocols = []string{"http/1.1"}
	}
	return &tls.Config{Certificates: []tls.Certificate{Certificate()}, NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// Certificate is one of CA for this machine.
func Certificate() tls.Certificate {
	cert, err := CA().Issue("127.0.0.1", "localhost")
	if err != nil {
		panic(err) // as above
	}
	return cert
}

// Listener is an endpoint on a free port of 127.0.0.1.
type Listener struct {
	URL string // https://127.0.0.1:port, or http://
	net.Listener
	opened atomic.Int64
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.opened.Add(1)
	}
	return conn, err
}

// Opened is how many connections have been opened so far.
func (l *Listener) Opened() int64 { return l.opened.Load() }

// Listen starts an endpoint that does what it likes with each connection, which
// serve must close; nil settings are TLS(). Whoever calls it closes the endpoint.
func Listen(settings *tls.Config, serve func(net.Conn)) (*Listener, error) {
	l, err := listen(settings)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l, nil
}

func listen(settings *tls.Config) (*Listener, error) {
	if settings == nil {
		settings = TLS()
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", settings)
	if err != nil {
		return nil, err
	}
	return &Listener{URL: "https://" + l.Addr().String(), Listener: l}, nil
}

// Endpoint is an HTTP server behind TLS.
type Endpoint struct {
	*Listener
	server *http.Server
	done   chan struct{}
}

// Handle starts an endpoint that serves HTTP; nil settings are TLS(). Whoever
// calls it closes it.
func Handle(settings *tls.Config, h http.Handler) (*Endpoint, error) {
	l, err := listen(settings)
	if err != nil {
		return nil, err
	}
	return serve(l, h), nil
}

// HandlePlain is Handle without TLS.
func HandlePlain(h http.Handler) (*Endpoint, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return serve(&Listener{URL: "http://" + l.Addr().String(), Listener: l}, h), nil
}

func serve(l *Listener, h http.Handler) *Endpoint {
	e := &Endpoint{Listener: l, done: make(chan struct{}), server: &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}}
	go func() {
		defer close(e.done)
		_ = e.server.Serve(l) // it ends when it is closed
	}()
	return e
}

// Close ends the endpoint and its connections.
func (e *Endpoint) Close() error {
	err := e.server.Close()
	<-e.done
	return err
}
