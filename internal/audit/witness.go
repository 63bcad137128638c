package audit

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/limits"
)

// A server tells who sends a message through an import that shares it, in a
// header that it does not store. So each bridge also hears the puts themselves,
// and remembers for a while who sent them. It takes from the bus what it gets:
// where it may not listen, entries name no user.

const requestInfo = "Nats-Request-Info"

type sighting struct {
	subject string
	sum     [sha256.Size]byte
}

type witness struct {
	mu     sync.Mutex
	seen   map[sighting]*natsUser // nil: seen, and nothing was told
	order  []sighting
	active bool
}

// natsUser is what the server tells of a client.
type natsUser struct {
	Account string `json:"acc"`
	User    string `json:"user"`
	Name    string `json:"name"`
	Host    string `json:"host"`
}

func sumOf(h nats.Header, data []byte) [sha256.Size]byte {
	hash := sha256.New()
	fmt.Fprintf(hash, "%q%q", h.Get("KV-Operation"), h.Get(byHeader))
	hash.Write(data)
	return [sha256.Size]byte(hash.Sum(nil))
}

// byHeader tells apart the same bytes from different writers.
const byHeader = "Orderbridge-By"

func (w *witness) hear(m *nats.Msg) {
	w.note(sighting{m.Subject, sumOf(m.Header, m.Data)}, userOf(m.Header))
}

// userOf reads what the server tells; nil if nothing.
func userOf(h nats.Header) *natsUser {
	text := h.Get(requestInfo)
	if text == "" || len(text) > 16<<10 {
		return nil
	}
	var u natsUser
	if json.Unmarshal([]byte(text), &u) != nil || u.Account == "" {
		return nil
	}
	return &u
}

func (w *witness) note(s sighting, u *natsUser) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen == nil {
		w.seen = map[sighting]*natsUser{}
	}
	if _, again := w.seen[s]; !again {
		w.order = append(w.order, s)
	}
	w.seen[s] = u
	if len(w.order) > limits.AuditWitnessed {
		delete(w.seen, w.order[0])
		w.order = w.order[1:]
	}
}

// of tells who sent what lies under the subject; seen is false if it was not heard.
func (w *witness) of(subject string, h nats.Header, data []byte) (u *natsUser, seen bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u, seen = w.seen[sighting{subject, sumOf(h, data)}]
	return u, seen
}

func (w *Who) told(u *natsUser) {
	if u == nil || w.Vouched != "" {
		return // by a bridge: it is its connection that the server knows
	}
	w.Account, w.User, w.Client, w.Address, w.Vouched = u.Account, u.User, u.Name, u.Host, byNATS
}
