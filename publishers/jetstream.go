package publishers

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
)

// JetStreamOptions are what a JetStream publisher is made from.
type JetStreamOptions struct {
	JetStream jetstream.JetStream
	// Timeout bounds the confirmation of each message. Default 5 s.
	Timeout time.Duration
	// WithoutMsgID leaves Nats-Msg-Id out: the server then recognizes no repeat.
	WithoutMsgID bool
}

// JetStream is a Watermill publisher onto NATS JetStream: the topic is the
// subject, the payload the data, the metadata the headers, the UUID the
// Nats-Msg-Id. Safe for concurrent use.
type JetStream struct{ options JetStreamOptions }

var _ message.Publisher = (*JetStream)(nil)

// NewJetStream checks the options. The connection stays the caller's: Close
// leaves it open.
func NewJetStream(o JetStreamOptions) (*JetStream, error) {
	if o.JetStream == nil {
		return nil, errors.New("option JetStream is missing")
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("option Timeout is %v: want 0 for the default, or more", o.Timeout)
	}
	if o.Timeout == 0 {
		o.Timeout = limits.PublishTime
	}
	return &JetStream{options: o}, nil
}

// Publish stores the messages in order, each confirmed by the server before
// the next one goes out; at the first that is not confirmed it stops. That one
// may have been stored nevertheless, unless the error is bridge.ErrRefused.
//
// Metadata named Nats-* is left out: such headers are instructions to the
// server, and those of another message are not meant for this one. Metadata
// that a NATS header cannot carry unchanged is an error.
func (p *JetStream) Publish(topic string, messages ...*message.Message) error {
	if !isSubject(topic) {
		return fmt.Errorf("subject %q is none to publish to: want tokens without space, *, or >, joined by dots", topic)
	}
	for _, m := range messages {
		header, err := headersOf(m.Metadata)
		if err != nil {
			return fmt.Errorf("publish %q to %q: %w", m.UUID, topic, err)
		}
		if m.UUID != "" && !p.options.WithoutMsgID {
			if !survivesAsHeader(m.UUID) {
				return fmt.Errorf("publish %q to %q: the id cannot stand in a header", m.UUID, topic)
			}
			header[jetstream.MsgIDHeader] = []string{m.UUID}
		}
		msg := &nats.Msg{Subject: topic, Header: header, Data: m.Payload}
		if err := publishConfirmed(m.Context(), p.options.JetStream, p.options.Timeout, msg); err != nil {
			return fmt.Errorf("publish %q to %q: %w", m.UUID, topic, err)
		}
	}
	return nil
}

// Close does nothing: there is nothing of its own to close.
func (p *JetStream) Close() error { return nil }

func headersOf(metadata message.Metadata) (nats.Header, error) {
	header := make(nats.Header, len(metadata)+1)
	for k, v := range metadata {
		if isServerHeader(k) {
			continue
		}
		if !validHeader(k, v) || !survivesAsHeader(v) {
			return nil, fmt.Errorf("metadata %q cannot stand in a header", k)
		}
		header[k] = []string{v}
	}
	return header, nil
}

// isServerHeader reports whether a header is an instruction to the NATS server.
func isServerHeader(name string) bool {
	return len(name) >= 5 && strings.EqualFold(name[:5], "Nats-")
}

// survivesAsHeader reports whether the client sends the value as it is: it
// trims space and makes line ends into blanks.
func survivesAsHeader(v string) bool {
	return validFieldValue(v) && textproto.TrimString(v) == v
}

func isSubject(s string) bool {
	for token := range strings.SplitSeq(s, ".") {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n\x00") {
			return false
		}
	}
	return true
}

// publishConfirmed returns nil when the server has confirmed the message,
// bridge.ErrRefused when it certainly will not store it, else another error.
func publishConfirmed(ctx context.Context, js jetstream.JetStream, timeout time.Duration, msg *nats.Msg, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := js.PublishMsg(ctx, msg, opts...)
	if err != nil && isRefusal(err) {
		return fmt.Errorf("%w: %w", bridge.ErrRefused, err)
	}
	return err
}

// The answers of a server after which neither this copy of a message nor an
// earlier one is stored.
var refusals = map[jetstream.ErrorCode]bool{
	10002: true, // account's resources exceeded
	10023: true, // server's resources insufficient
	10028: true, // memory exceeded
	10047: true, // storage exceeded
	10054: true, // message larger than the stream allows
	10077: true, // store failed: the stream is full and discards what is new
	10122: true, // stream larger than the account allows
}

func isRefusal(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && refusals[api.ErrorCode]
}
