package publishers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
	"orderbridge/internal/safetext"
)

// DeadLettersOptions are what DeadLetters is made from.
type DeadLettersOptions struct {
	JetStream jetstream.JetStream
	Stream    string // its name, prefix included
	// Subject is the subject space without its last two tokens, prefix
	// included: letters go to <Subject>.<subscription>.<lane>.
	Subject string
	// MaxPayload is the server's max_payload in bytes: a letter that would be
	// larger is stored without its event. Default 1 MiB.
	MaxPayload int
	// Timeout bounds each request to the bus. Default 5 s.
	Timeout time.Duration
	Logger  *slog.Logger // nil: slog.Default()
}

// DeadLetters implements bridge.DeadLetters on a stream.
//
// A letter is a JSON object: the members of protocol.DeadLetter and, as "event",
// the event with its headers and its data: "data" is the exact text if the data
// is UTF-8, else "data_base64" holds the bytes. A text that is not UTF-8 (an
// order id of odd bytes, say) makes the letter's "encoding" "bytes": then each
// character of each of its texts stands for the byte of its number, except in
// data. "truncated": true says that the event would not have fitted, or that its
// owner's letters take too much of the stream: only the reference to the source
// stream is there.
type DeadLetters struct {
	options DeadLettersOptions
	large   chan struct{} // one for each large letter that is being stored
	room    letterRoom
}

var _ bridge.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters checks the options. The stream must be there when it is used.
func NewDeadLetters(o DeadLettersOptions) (*DeadLetters, error) {
	switch {
	case o.JetStream == nil:
		return nil, errors.New("option JetStream is missing")
	case o.Stream == "":
		return nil, errors.New("option Stream is missing")
	case !isSubject(o.Subject):
		return nil, fmt.Errorf("option Subject is %q, which is not a subject", o.Subject)
	case o.MaxPayload < 0 || o.Timeout < 0:
		return nil, fmt.Errorf("options MaxPayload %d and Timeout %v must not be negative", o.MaxPayload, o.Timeout)
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if o.Timeout == 0 {
		o.Timeout = limits.PublishTime
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &DeadLetters{options: o, large: make(chan struct{}, limits.LargeLetters)}, nil
}

// Store implements bridge.DeadLetters. A repeat with the same ID, within the
// stream's duplicate window, is stored once.
func (l *DeadLetters) Store(ctx context.Context, d protocol.DeadLetter) error {
	subject := l.options.Subject + "." + d.Subscription + "." + d.Lane
	if !isSubject(subject) || strings.Contains(d.Subscription+d.Lane, ".") {
		return fmt.Errorf("store dead letter of %q: lane %q is not a subject token: %w", d.Subscription, d.Lane,
			protocol.ErrRefused)
	}
	header := nats.Header{}
	if d.ID != "" {
		if !survivesAsHeader(d.ID) {
			return fmt.Errorf("store dead letter of %q: id %q cannot stand in a header: %w", d.Subscription, d.ID,
				protocol.ErrRefused)
		}
		header[jetstream.MsgIDHeader] = []string{d.ID}
	}
	leave, err := l.place(ctx, &d)
	if err != nil {
		return fmt.Errorf("store dead letter of %q: %w", d.Subscription, err)
	}
	defer leave()
	// The headers count as payload: those above, and what the client adds.
	body, err := marshalLetter(d, l.options.MaxPayload-len(d.ID)-len(l.options.Stream)-256,
		d.Event == nil || l.keepsEvent(ctx, d))
	if err != nil {
		return fmt.Errorf("store dead letter of %q: %w", d.Subscription, err)
	}
	msg := &nats.Msg{Subject: subject, Header: header, Data: body}
	if err := publishConfirmed(ctx, l.options.JetStream, l.options.Timeout, msg,
		jetstream.WithExpectStream(l.options.Stream)); err != nil {
		return fmt.Errorf("store dead letter of %q in stream %q: %w", d.Subscription, l.options.Stream, err)
	}
	return nil
}

// place waits for a place among the large letters, which stand in memory
// several times over while they are stored. A small one needs none.
func (l *DeadLetters) place(ctx context.Context, d *protocol.DeadLetter) (leave func(), err error) {
	if d.Event == nil || len(d.Event.Data) < limits.LargeLetter {
		return func() {}, nil
	}
	select {
	case l.large <- struct{}{}:
		return func() { <-l.large }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keepsEvent tells whether there is room for the event of a letter.
func (l *DeadLetters) keepsEvent(ctx context.Context, d protocol.DeadLetter) bool {
	size, now := len(d.Event.Data), time.Now()
	if size > limits.LetterSmallBytes && l.room.stale(now) {
		ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
		stream, err := l.options.JetStream.Stream(ctx, l.options.Stream)
		cancel()
		if err == nil { // else what was known counts
			info := stream.CachedInfo()
			l.room.saw(int64(info.State.Bytes), max(info.Config.MaxBytes, 0), now)
		}
	}
	owner := ownerOf(d)
	whole, say := l.room.admit(owner, size, now)
	if say {
		l.options.Logger.Warn("dead letters take more than their part of the stream: for now they refer to the events, and do not hold them", "owner", owner, "stream", l.options.Stream, "subscription_id", d.Subscription)
	}
	return whole
}

// Get implements bridge.DeadLetters. The Event is nil if the letter holds only
// the reference.
func (l *DeadLetters) Get(ctx context.Context, seq uint64) (protocol.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	m, err := msgget.BySeq(ctx, l.options.JetStream, l.options.Stream, seq)
	if err != nil {
		return protocol.DeadLetter{}, fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	d, err := ParseDeadLetter(m.Data)
	if err != nil {
		return protocol.DeadLetter{}, fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	if id := m.Header[jetstream.MsgIDHeader]; len(id) > 0 {
		d.ID = id[0]
	}
	return d, nil
}

// Remove implements bridge.DeadLetters.
func (l *DeadLetters) Remove(ctx context.Context, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, l.options.Timeout)
	defer cancel()
	stream, err := l.options.JetStream.Stream(ctx, l.options.Stream)
	if err == nil {
		err = stream.DeleteMsg(ctx, seq)
	}
	if err == nil {
		return nil
	}
	if _, missing := msgget.BySeq(ctx, l.options.JetStream, l.options.Stream, seq); errors.Is(missing,
		protocol.ErrNotFound) {
		return nil
	}
	return fmt.Errorf("remove dead letter %d from stream %q: %w", seq, l.options.Stream, err)
}

// letter is a dead letter as it lies in the stream.
type letter struct {
	protocol.DeadLetter
	Encoding  string       `json:"encoding,omitempty"`
	Truncated bool         `json:"truncated,omitempty"`
	Event     *letterEvent `json:"event,omitempty"`
}

type letterEvent struct {
	ID            string              `json:"id"`
	PublisherID   string              `json:"publisherId,omitempty"`
	Type          string              `json:"type,omitempty"`
	OrderID       string              `json:"orderId,omitempty"`
	LegacyOrderID string              `json:"legacyOrderId,omitempty"`
	Tenant        string              `json:"tenant,omitempty"`
	Subject       string              `json:"subject"`
	Sequence      uint64              `json:"sequence"`
	Time          time.Time           `json:"time"`
	Headers       map[string][]string `json:"headers,omitempty"`
	Data          *string             `json:"data,omitempty"`
	DataBase64    []byte              `json:"data_base64,omitempty"`
}

const byteEncoding = "bytes"

// marshalLetter returns a letter of at most limit bytes; without the event if
// it would be larger with it, or is not to be whole.
func marshalLetter(d protocol.DeadLetter, limit int, whole bool) ([]byte, error) {
	l := letter{DeadLetter: d}
	if d.Event != nil {
		l.Event = letterOf(d.Event)
	}
	if l.Event == nil || whole && len(d.Event.Data) <= limit {
		b, err := l.marshal()
		if err != nil || len(b) <= limit {
			return b, err
		}
	}
	l.Event, l.Truncated = nil, true
	b, err := l.marshal()
	if err != nil || len(b) <= limit {
		return b, err
	}
	// Ids of the size of an event: what is left of them is for people only.
	for _, s := range l.texts() {
		*s = beginning(*s)
	}
	return l.marshal()
}

func beginning(s string) string { return s[:min(len(s), 1<<10)] }

func letterOf(e *event.Event) *letterEvent {
	l := &letterEvent{
		ID: e.ID, PublisherID: e.PublisherID, Type: e.Type, OrderID: e.OrderID, LegacyOrderID: e.LegacyOrderID,
		Tenant:  e.Tenant,
		Subject: e.Subject, Sequence: e.Seq, Time: e.Time, Headers: e.Header,
	}
	if utf8.Valid(e.Data) {
		text := string(e.Data)
		l.Data = &text
	} else {
		l.DataBase64 = e.Data
	}
	return l
}

func (l letter) marshal() ([]byte, error) {
	if !l.everyText(utf8.ValidString) {
		l.Encoding = byteEncoding
		l.mapTexts(func(s string) string {
			runes := make([]rune, len(s))
			for i := range len(s) {
				runes[i] = rune(s[i])
			}
			return string(runes)
		})
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(l); err != nil {
		return nil, err
	}
	return safetext.JSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// ParseDeadLetter reads a letter as it lies in the stream. Its ID is not part
// of it; its Event is nil if it holds only the reference.
func ParseDeadLetter(data []byte) (protocol.DeadLetter, error) {
	var l letter
	if err := json.Unmarshal(data, &l); err != nil {
		return protocol.DeadLetter{}, fmt.Errorf("parse dead letter: %w", err)
	}
	switch l.Encoding {
	case "":
	case byteEncoding:
		l.mapTexts(func(s string) string {
			b := make([]byte, 0, len(s))
			for _, r := range s {
				b = append(b, byte(r))
			}
			return string(b)
		})
	default:
		return protocol.DeadLetter{}, fmt.Errorf("parse dead letter: unknown encoding %q", l.Encoding)
	}
	d := l.DeadLetter
	if e := l.Event; e != nil {
		d.Event = &event.Event{
			Message: event.Message{Seq: e.Sequence, Time: e.Time, Subject: e.Subject, Header: e.Headers,
				Data: e.DataBase64},
			ID: e.ID, PublisherID: e.PublisherID, Type: e.Type, OrderID: e.OrderID, LegacyOrderID: e.LegacyOrderID,
			Tenant: e.Tenant,
		}
		if e.Data != nil {
			d.Event.Data = []byte(*e.Data)
		}
	}
	if d.Order == "" { // of a former build
		if d.Order = event.OrderOf(d.Lane, d.Key); d.Event != nil {
			d.Order = cmp.Or(d.Event.OrderID, d.Event.LegacyOrderID)
		}
	}
	return d, nil
}

// texts are the texts of a letter that come from outside, headers apart.
func (l *letter) texts() []*string {
	out := []*string{&l.Key, &l.Order, &l.Reason, &l.DeliveryID}
	if e := l.Event; e != nil {
		out = append(out, &e.ID, &e.PublisherID, &e.Type, &e.OrderID, &e.LegacyOrderID, &e.Tenant, &e.Subject)
	}
	return out
}

func (l *letter) everyText(ok func(string) bool) bool {
	for _, s := range l.texts() {
		if !ok(*s) {
			return false
		}
	}
	if l.Event != nil {
		for k, vs := range l.Event.Headers {
			if !ok(k) {
				return false
			}
			for _, v := range vs {
				if !ok(v) {
					return false
				}
			}
		}
	}
	return true
}

// mapTexts changes all texts, in copies of what others may share.
func (l *letter) mapTexts(f func(string) string) {
	if l.Event != nil {
		e := *l.Event
		e.Headers = make(map[string][]string, len(l.Event.Headers))
		for k, vs := range l.Event.Headers {
			mapped := make([]string, len(vs))
			for i, v := range vs {
				mapped[i] = f(v)
			}
			e.Headers[f(k)] = mapped
		}
		l.Event = &e
	}
	for _, s := range l.texts() {
		*s = f(*s)
	}
}
