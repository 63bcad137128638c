package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
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

	hidden bool // the sender has seen to it that nobody can tell
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
	w.note(sighting{m.Subject, sumOf(m.Header, m.Data)}, userOf(m))
}

// userOf reads what the server tells; nil if nothing. The server takes out what a
// sender has written under this name, and puts its own header at the end. But a
// sender can write headers that a server reads otherwise than this client (lines
// that end with LF alone, an empty line, a last line without an end), so that the
// sender's header stays, or the server's is not found. So only the last header
// counts, and of what was sent nothing may hide.
func userOf(m *nats.Msg) *natsUser {
	if hides(m) {
		return &natsUser{hidden: true}
	}
	told := m.Header.Values(requestInfo)
	if len(told) == 0 || len(told[len(told)-1]) > limits.AuditToldBytes {
		return nil
	}
	var u natsUser
	if json.Unmarshal([]byte(told[len(told)-1]), &u) != nil || u.Account == "" {
		return nil
	}
	return &u
}

// hides tells whether a header of the server may stand in what was sent without
// having been read as one: within another, or behind the end of those that were
// read. What a sender saves with other forms of a line is two bytes for each; the
// server's header has more than these together.
func hides(m *nats.Msg) bool {
	const most, slack = 24, 64
	lines, read := 0, len("NATS/1.0\r\n\r\n")
	for name, values := range m.Header {
		if name == "Status" || name == "Description" || name != requestInfo && strings.Contains(name, requestInfo) {
			return true
		}
		for _, v := range values {
			if strings.Contains(v, requestInfo) {
				return true
			}
			lines++
			read += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	sent := m.Size() - len(m.Subject) - len(m.Reply) - len(m.Data)
	return sent > 0 && (lines > most || sent > read+slack)
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
	if u.hidden {
		w.Says = cmp.Or(w.Says, "nothing") + "; the headers hide who sent it"
		return
	}
	w.Account, w.User, w.Client, w.Address, w.Vouched = u.Account, u.User, u.Name, u.Host, byNATS
}
