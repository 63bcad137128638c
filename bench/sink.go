package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"orderbridge/internal/lab"
)

// sinkSettings say where the sink writes its authority.
type sinkSettings struct{ CAFile string }

type sinkReady struct {
	URL     string // https, of the endpoint
	Control string // http, of /expect, /reached and /status
}

// sink is the receiver: it does no more with a request than net/http does.
type sink struct {
	count, warm, total atomic.Int64
	warmed, finished   atomic.Pointer[chan time.Time]
	endpoint           *lab.Endpoint

	mu      sync.Mutex
	latency []time.Duration
}

// sinkStatus is the answer of /status.
type sinkStatus struct {
	Requests    int64           // since /expect
	Connections int64           // opened since the start
	Latency     []time.Duration // of requests to /latency, sorted
}

// runSink serves HTTP/1.1 over TLS with a certificate of its own.
func runSink(ctx context.Context, s sinkSettings, ready func(any) error) error {
	if err := os.WriteFile(s.CAFile, lab.CA().PEM(), 0o600); err != nil {
		return err
	}
	k := &sink{}
	k.expect(0, 0)
	control := http.NewServeMux()
	control.HandleFunc("/expect", k.serveExpect)
	control.HandleFunc("/reached", k.serveReached)
	control.HandleFunc("/status", k.serveStatus)

	var err error
	if k.endpoint, err = lab.Handle(nil, http.HandlerFunc(k.serve)); err != nil {
		return err
	}
	aside, err := lab.HandlePlain(control)
	if err != nil {
		return errors.Join(err, k.endpoint.Close())
	}
	err = ready(sinkReady{k.endpoint.URL, aside.URL})
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, k.endpoint.Close(), aside.Close())
}

// serve is the endpoint.
func (k *sink) serve(_ http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, latencyPath) {
		k.measure(r)
	}
	switch n := k.count.Add(1); n {
	case k.warm.Load():
		*k.warmed.Load() <- time.Now()
	case k.total.Load():
		*k.finished.Load() <- time.Now()
	}
}

// latencyPath begins the path of requests whose latency is measured.
const latencyPath = "/latency"

// measure reads when the event was published: newBody has written it there, and
// a GET has it for its order id at the end of the path.
func (k *sink) measure(r *http.Request) {
	now := time.Now()
	digits := r.URL.Path[strings.LastIndexByte(r.URL.Path, '-')+1:]
	if r.Method != http.MethodGet {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(body, []byte(bodyTime))
		found, _, _ := bytes.Cut(rest, []byte{'"'})
		digits = string(found)
	}
	at, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || at == 0 {
		return
	}
	k.mu.Lock()
	k.latency = append(k.latency, now.Sub(time.Unix(0, at)))
	k.mu.Unlock()
}

func (k *sink) expect(warm, total int64) {
	warmed, finished := make(chan time.Time, 1), make(chan time.Time, 1)
	k.warmed.Store(&warmed)
	k.finished.Store(&finished)
	k.mu.Lock()
	k.latency = nil
	k.mu.Unlock()
	k.warm.Store(warm)
	k.total.Store(total)
	k.count.Store(0)
}

func (k *sink) serveExpect(w http.ResponseWriter, r *http.Request) {
	warm, err := strconv.ParseInt(r.FormValue("warm"), 10, 64)
	total, err2 := strconv.ParseInt(r.FormValue("total"), 10, 64)
	if err := errors.Join(err, err2); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	k.expect(warm, total)
	w.WriteHeader(http.StatusNoContent)
}

// serveReached answers when as many requests have come: with the time.
func (k *sink) serveReached(w http.ResponseWriter, r *http.Request) {
	reached := *k.finished.Load()
	if r.FormValue("mark") == "warm" {
		reached = *k.warmed.Load()
	}
	select {
	case at := <-reached:
		_ = json.NewEncoder(w).Encode(at)
	case <-r.Context().Done():
	}
}

func (k *sink) serveStatus(w http.ResponseWriter, _ *http.Request) {
	k.mu.Lock()
	latency := slices.Clone(k.latency)
	k.mu.Unlock()
	slices.Sort(latency)
	_ = json.NewEncoder(w).Encode(sinkStatus{k.count.Load(), k.endpoint.Opened(), latency})
}

// ---- what the bench asks the sink

// ask gets a path of the sink's control server; answer may be nil.
func (s sinkReady) ask(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Control+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("sink %s: %s", path, resp.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

func (s sinkReady) expect(ctx context.Context, warm, total int) error {
	return s.ask(ctx, fmt.Sprintf("/expect?warm=%d&total=%d", warm, total), nil)
}

func (s sinkReady) reached(ctx context.Context, mark string) (at time.Time, err error) {
	err = s.ask(ctx, "/reached?mark="+mark, &at)
	return at, err
}

func (s sinkReady) status(ctx context.Context) (st sinkStatus, err error) {
	err = s.ask(ctx, "/status", &st)
	return st, err
}
