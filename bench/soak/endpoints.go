package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"

	"orderbridge/internal/lab"
)

const healthyEndpoints = 4

// endpoints are one TLS server; the path tells which of them is meant.
type endpoints struct {
	*lab.Endpoint
	urls    map[string]string // by id of the subscription
	healthy atomic.Int64      // deliveries to the healthy ones
	over    chan struct{}
}

func openEndpoints() (e *endpoints, err error) {
	e = &endpoints{urls: map[string]string{}, over: make(chan struct{})}
	if e.Endpoint, err = lab.Handle(nil, http.HandlerFunc(e.serve)); err != nil {
		return nil, err
	}
	for i := range healthyEndpoints {
		e.urls[fmt.Sprintf("healthy-%d", i)] = e.URL + "/healthy"
	}
	for _, id := range []string{"down", "hangs", "shaky"} {
		e.urls[id] = e.URL + "/" + id
	}
	e.urls["refuses"] = "https://127.0.0.1:1/"
	return e, nil
}

func (e *endpoints) close() {
	close(e.over)
	_ = e.Close() // the program ends
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
