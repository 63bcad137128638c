package store

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Who changes a record, or asks the leader for something, says so in a header
// of the message. What the management API says is signed with a key that lies
// beside the lease, where only bridges and operators read: then it is known,
// else it is a claim.

const (
	byHeader  = "Orderbridge-By"
	macHeader = "Orderbridge-By-Mac"
	auditKey  = "audit" // in the bucket of the lease
)

// Actor is who does something.
type Actor struct {
	Via     string `json:"via"` // api, cli, bridge
	Name    string `json:"name,omitempty"`
	Tenant  string `json:"tenant,omitempty"`
	Address string `json:"address,omitempty"`
	Request string `json:"request,omitempty"`
}

type actorKey struct{}

// WithActor has the calls of a Catalog say who makes them.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// Deed is what is done: a key or subject, the operation, the revision that it
// replaces and the bytes. A signature holds for one deed.
type Deed struct {
	On     string
	Delete bool
	Expect uint64
	Data   []byte
}

// Key signs what bridges say of those who act through them. The zero value
// neither signs nor finds a signature good. Safe for concurrent use.
type Key struct {
	mu     sync.Mutex
	secret []byte
	read   time.Time
}

// Load reads the key, or makes it if there is none.
func (k *Key) Load(ctx context.Context, js jetstream.JetStream, n Names) error {
	subject := bucketSubject(n.Lease, auditKey)
	for range 3 {
		m, err := msgget.Last(ctx, js, bucketStream(n.Lease), subject)
		if err == nil && !isMarker(m.Header) && len(m.Data) >= sha256.Size {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.secret, k.read = m.Data, time.Now()
			return nil
		}
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return fmt.Errorf("read the key of the audit: %w", err)
		}
		var rev uint64
		if m != nil {
			rev = m.Seq
		}
		secret := make([]byte, sha256.Size)
		_, _ = rand.Read(secret) // it never fails
		_, err = js.Publish(ctx, writeSubject(js, n.Lease, auditKey), secret,
			jetstream.WithExpectLastSequencePerSubject(rev))
		if err != nil && errorCode(err) != codeWrongLastSequence {
			return fmt.Errorf("make the key of the audit: %w", err)
		}
	}
	return errors.New("make the key of the audit: somebody else does at the same time")
}

func (k *Key) sum(by string, d Deed) string {
	k.mu.Lock()
	secret := k.secret
	k.mu.Unlock()
	if secret == nil {
		return ""
	}
	data := sha256.Sum256(d.Data)
	mac := hmac.New(sha256.New, secret)
	for _, part := range []string{by, d.On, strconv.FormatBool(d.Delete), strconv.FormatUint(d.Expect, 10),
		string(data[:])} {
		fmt.Fprintf(mac, "%d:%s,", len(part), part)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// stamp says in the headers who does the deed, if ctx tells it.
func (k *Key) stamp(ctx context.Context, h nats.Header, d Deed) {
	actor, told := ctx.Value(actorKey{}).(Actor)
	if !told {
		return
	}
	by, err := json.Marshal(actor)
	if err != nil || len(by) > limits.ActorBytes {
		return
	}
	h.Set(byHeader, string(by))
	if k == nil {
		return
	}
	if sum := k.sum(string(by), d); sum != "" {
		h.Set(macHeader, sum)
	}
}

// By reads who is said to have done the deed, and whether a bridge says it.
func (k *Key) By(h nats.Header, d Deed) (a Actor, known, told bool) {
	by := h.Get(byHeader)
	if by == "" || len(by) > limits.ActorBytes || json.Unmarshal([]byte(by), &a) != nil {
		return Actor{}, false, false
	}
	sum := k.sum(by, d)
	known = sum != "" && hmac.Equal([]byte(sum), []byte(h.Get(macHeader)))
	return a, known, true
}

// Digest is a short text that is another one when the secret is another one, and
// tells nothing of it to whoever does not read the key.
func (k *Key) Digest(secret string) string {
	sum := k.sum("digest", Deed{Data: []byte(secret)})
	return sum[:min(4, len(sum))]
}

// Derive makes a key of it for another purpose, the same one in each replica; nil
// as long as it is not there.
func (k *Key) Derive(purpose string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret == nil {
		return nil
	}
	key, err := hkdf.Key(sha256.New, k.secret, nil, purpose, sha256.Size)
	if err != nil {
		panic(err) // of lengths that are constant
	}
	return key
}

// Stale tells whether it is worth to read the key once more.
func (k *Key) Stale() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Since(k.read) > limits.ActorKeyAge
}

// writeRecord stores a record, or deletes it (value nil), if its newest revision
// still is expect (0: it has never been there; nil: whatever it is); else
// ErrChanged. The actor of ctx goes with it, signed if there is a key.
func writeRecord(ctx context.Context, js jetstream.JetStream, bucket, id string, value []byte, expect *uint64,
	key *Key) (uint64, error) {
	subject, err := recordSubject(ctx, js, bucket, id)
	if err != nil {
		return 0, err
	}
	m := &nats.Msg{Subject: subject, Data: value, Header: nats.Header{}}
	d := Deed{On: id, Delete: value == nil, Data: value}
	if d.Delete {
		m.Header.Set("KV-Operation", "DEL")
	}
	var opts []jetstream.PublishOpt
	if expect != nil {
		d.Expect = *expect
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(*expect))
	}
	key.stamp(ctx, m.Header, d)
	ack, err := js.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, changed(err)
	}
	return ack.Sequence, nil
}

type withoutKey struct{}

// Without runs a part of a command that the server may refuse to have published
// to a subject; the error is then a nats.ErrPermissionViolation.
type Without func(ctx context.Context, subject string, run func(context.Context) error) error

// WithDenials returns a context whose commands and questions hear at once what
// the server refuses, and then know another way.
func WithDenials(ctx context.Context, w Without) context.Context {
	return context.WithValue(ctx, withoutKey{}, w)
}

// ask sends a command or question and returns the answer: where nobody listens,
// or with the permissions of a build before this one, as that build was asked.
// The actor of ctx goes with it, signed if there is a key.
func ask(ctx context.Context, js jetstream.JetStream, subject string, body []byte, key *Key) ([]byte, error) {
	var reply *nats.Msg
	send := func(ctx context.Context, subject string) (err error) {
		m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
		key.stamp(ctx, m.Header, Deed{On: subject, Data: body})
		reply, err = js.Conn().RequestMsgWithContext(ctx, m)
		return err
	}
	former := formerSubject(subject)
	if without, ok := ctx.Value(withoutKey{}).(Without); ok && former != "" {
		plain := send
		send = func(ctx context.Context, subject string) error {
			return without(ctx, subject, func(ctx context.Context) error { return plain(ctx, subject) })
		}
	}
	err := send(ctx, subject)
	if former != "" && (errors.Is(err, nats.ErrNoResponders) || errors.Is(err, nats.ErrPermissionViolation)) {
		if errFormer := send(ctx, former); !errors.Is(errFormer, nats.ErrPermissionViolation) {
			err = errFormer
		}
	}
	if err != nil {
		return nil, err
	}
	return reply.Data, nil
}
