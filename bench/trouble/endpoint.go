package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"orderbridge/internal/lab"
)

// endpoint is a TLS server of its own; it remembers what succeeded.
type endpoint struct {
	*lab.Endpoint

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
	e := &endpoint{reply: reply}
	var err error
	if e.Endpoint, err = lab.Handle(nil, e); err != nil {
		return nil, fmt.Errorf("start an endpoint: %w", err)
	}
	w.endpoints = append(w.endpoints, e)
	return e, nil
}

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

// inOrder checks what arrived for each subscription, which has a path of its own.
func inOrder(got []arrival) error {
	return lab.InOrder(got, func(a arrival) (string, int) { return a.path + " " + a.order, a.n })
}

func percentile(d []time.Duration, p float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(p*float64(len(s))))]
}
