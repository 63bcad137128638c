package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// endpoint is a TLS server of its own; it remembers what succeeded.
type endpoint struct {
	server *http.Server
	url    string
	over   chan struct{}

	mu       sync.Mutex
	reply    func(w http.ResponseWriter, gone <-chan struct{}) bool // false: it did not succeed
	well     func(order string) bool                                // nil, or which orders it takes; others get a 500
	got      []arrival
	requests []time.Time
}

// arrival is an event that succeeded.
type arrival struct {
	at      time.Time
	path    string
	order   string
	n       int
	latency time.Duration
}

func answer(status int, header ...string) func(http.ResponseWriter, <-chan struct{}) bool {
	return func(w http.ResponseWriter, _ <-chan struct{}) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		return status/100 == 2
	}
}

func reset(http.ResponseWriter, <-chan struct{}) bool { panic(http.ErrAbortHandler) }

// slow answers after a time; for ever, it hangs.
func slow(after time.Duration) func(http.ResponseWriter, <-chan struct{}) bool {
	return func(w http.ResponseWriter, gone <-chan struct{}) bool {
		select {
		case <-gone:
			return reset(w, gone)
		case <-time.After(after):
			return answer(http.StatusOK)(w, gone)
		}
	}
}

func (w *testbed) endpoint(reply func(http.ResponseWriter, <-chan struct{}) bool) (*endpoint, error) {
	cert, err := w.ca.Issue("127.0.0.1")
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
	if err != nil {
		return nil, fmt.Errorf("start an endpoint: %w", err)
	}
	e := &endpoint{url: "https://" + ln.Addr().String(), reply: reply, over: make(chan struct{})}
	e.server = &http.Server{Handler: e, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}}
	go func() { _ = e.server.ServeTLS(ln, "", "") }()
	w.endpoints = append(w.endpoints, e)
	return e, nil
}

func (e *endpoint) close() { _ = e.server.Close() }

// now changes what the endpoint does.
func (e *endpoint) now(reply func(http.ResponseWriter, <-chan struct{}) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reply = reply
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var event struct {
		OrderID string `json:"orderId"`
		N       int    `json:"n"`
		Sent    int64  `json:"sent"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&event); err != nil {
		http.Error(w, "not an event", http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	e.requests = append(e.requests, at)
	reply := e.reply
	if e.well != nil && !e.well(event.OrderID) {
		reply = answer(http.StatusInternalServerError)
	}
	e.mu.Unlock()
	if reply(w, r.Context().Done()) {
		e.mu.Lock()
		e.got = append(e.got, arrival{at, r.URL.Path, event.OrderID, event.N, at.Sub(time.Unix(0, event.Sent))})
		e.mu.Unlock()
	}
}

// judge lets the endpoint refuse some orders; well is asked under its lock.
func (e *endpoint) judge(well func(order string) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.well = well
}

// arrived is what has succeeded since the nth success.
func (e *endpoint) arrived(from int) []arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.got[from:])
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.got)
}

// asked is how many requests came, whatever became of them.
func (e *endpoint) asked() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.requests)
}

// inOrder tells whether each order's changes came one after another from the
// first on, each once, and how many events there were.
func inOrder(got []arrival) error {
	last := map[string]int{}
	for _, a := range got {
		key := a.path + " " + a.order
		if a.n != last[key]+1 {
			return fmt.Errorf("change %d of %s came after %d", a.n, key, last[key])
		}
		last[key] = a.n
	}
	return nil
}

func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(p*float64(len(s))))]
}
