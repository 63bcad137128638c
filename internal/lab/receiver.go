package lab

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// What a receiver does instead of answering with a status.
const (
	Hang  = -1 // until the client gives up or the receiver is closed
	Reset = -2
)

// Reply decides what a receiver does with a request: a status, Hang or Reset. It
// may take its time, and may set headers of the answer.
type Reply func(h *Hit) int

// Always is a Reply that is always the same.
func Always(status int) Reply { return func(*Hit) int { return status } }

// Hit is one request as it came. Status and Ended are set when it is answered.
type Hit struct {
	At, Ended time.Time
	Remote    string // the connection's other end
	Method    string
	URI       string
	Path      string
	Header    http.Header
	Body      []byte
	Status    int
	Clients   int             // certificates that the client has shown
	Gone      <-chan struct{} // closed when the client has given up
	Answer    http.Header     // of the answer
	Text      string          // of the answer

	Change // of the body, if it is an event of ours
}

// Change is the nth change of an order, as the events of tests tell it.
type Change struct {
	Order string `json:"orderId"`
	N     int    `json:"n"`
}

// Good tells whether the request was answered with a 2xx.
func (h Hit) Good() bool { return h.Status/100 == 2 }

// ID of the delivery.
func (h Hit) ID() string { return h.Header.Get("Webhook-Id") }

// String is one line about the request.
func (h Hit) String() string {
	return fmt.Sprintf("%s %s order %q n %d attempt %s id %s -> %d %s",
		h.At.Format("05.000"), h.Method, h.Order, h.N, h.Header.Get("X-Attempt"), h.ID(), h.Status,
		h.Ended.Format("05.000"))
}

// Receiver is an endpoint that keeps a journal.
type Receiver struct {
	*Endpoint
	over chan struct{} // closed when it is closed: nothing hangs any more

	mu    sync.Mutex
	hits  []*Hit
	reply Reply
}

// Receive starts an endpoint that answers with reply (nil: always 200); nil
// settings are TLS(). Whoever calls it closes it.
func Receive(settings *tls.Config, reply Reply) (r *Receiver, err error) {
	r = newReceiver(reply)
	r.Endpoint, err = Handle(settings, http.HandlerFunc(r.serve))
	return r, err
}

// ReceivePlain is Receive without TLS.
func ReceivePlain(reply Reply) (r *Receiver, err error) {
	r = newReceiver(reply)
	r.Endpoint, err = HandlePlain(http.HandlerFunc(r.serve))
	return r, err
}

func newReceiver(reply Reply) *Receiver {
	r := &Receiver{over: make(chan struct{})}
	r.Reply(reply)
	return r
}

// Close ends the receiver; the journal stays.
func (r *Receiver) Close() error {
	close(r.over)
	return r.Endpoint.Close()
}

// Reply changes what the receiver does from now on; nil: always 200.
func (r *Receiver) Reply(reply Reply) {
	if reply == nil {
		reply = Always(http.StatusOK)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reply = reply
}

func (r *Receiver) serve(w http.ResponseWriter, q *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(io.LimitReader(q.Body, 4<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // cut while it came: never was a request
	}
	h := &Hit{At: at, Remote: q.RemoteAddr, Method: q.Method, URI: q.RequestURI, Path: q.URL.Path,
		Header: q.Header, Body: body, Gone: q.Context().Done(), Answer: w.Header()}
	if q.TLS != nil {
		h.Clients = len(q.TLS.PeerCertificates)
	}
	var c Change
	if json.Unmarshal(body, &c) == nil {
		h.Change = c
	}
	r.mu.Lock()
	r.hits = append(r.hits, h)
	reply := r.reply
	r.mu.Unlock()
	status := reply(h)
	if status == Hang {
		select {
		case <-h.Gone:
		case <-r.over:
		}
	}
	r.mu.Lock()
	h.Status, h.Ended = status, time.Now()
	r.mu.Unlock()
	if status < 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, h.Text) // the client may have gone
}

// Journal is a copy of what came so far.
func (r *Receiver) Journal() Journal { return r.Since(0) }

// Since is a copy of what came after the first n requests.
func (r *Receiver) Since(n int) Journal {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(Journal, len(r.hits)-n)
	for i, h := range r.hits[n:] {
		out[i] = *h
	}
	return out
}

// Count is how many requests came.
func (r *Receiver) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.hits)
}

// Delivered counts the different deliveries that got a 2xx.
func (r *Receiver) Delivered() int {
	ids := map[string]bool{}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.hits {
		if h.Good() {
			ids[h.ID()] = true
		}
	}
	return len(ids)
}
