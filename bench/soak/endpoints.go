package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"orderbridge/internal/lab"
)

const healthyEndpoints = 4

// endpoints are one TLS server; the path tells which of them is meant.
type endpoints struct {
	server  *http.Server
	urls    map[string]string // by id of the subscription
	healthy atomic.Int64      // deliveries to the healthy ones
	over    chan struct{}
}

func openEndpoints(roots string) (*endpoints, error) {
	ca, err := lab.NewCA()
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(roots, ca.PEM(), 0o600); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it starts once
	if err != nil {
		return nil, err
	}
	e := &endpoints{urls: map[string]string{}, over: make(chan struct{})}
	base := "https://" + listener.Addr().String()
	for i := range healthyEndpoints {
		e.urls[fmt.Sprintf("healthy-%d", i)] = base + "/healthy"
	}
	for _, id := range []string{"down", "hangs", "shaky"} {
		e.urls[id] = base + "/" + id
	}
	e.urls["refuses"] = "https://127.0.0.1:1/"
	e.server = &http.Server{Handler: http.HandlerFunc(e.serve), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12},
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { _ = e.server.ServeTLS(listener, "", "") }()
	return e, nil
}

func (e *endpoints) close() {
	close(e.over)
	_ = e.server.Close() // the program ends
}

func (e *endpoints) serve(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)); err != nil {
		return
	}
	switch r.URL.Path {
	case "/healthy":
		e.healthy.Add(1)
	case "/shaky":
		if rand.IntN(5) == 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	case "/hangs":
		select {
		case <-r.Context().Done():
		case <-e.over:
		}
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}
