// Package msgget reads from the leader of a stream: single messages, and its
// state. A direct get may be answered by a replica that lags; STREAM.MSG.GET is
// not, but by a leader that was cut off and does not know yet that there is
// another (see Settled).
package msgget

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

const (
	noMessageFound = 10037
)

type request struct {
	Seq     uint64 `json:"seq,omitempty"`
	LastFor string `json:"last_by_subj,omitempty"`
	NextFor string `json:"next_by_subj,omitempty"`
}

type response struct {
	Error   *jetstream.APIError `json:"error"`
	Message *struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Header  []byte    `json:"hdrs"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
}

// BySeq reads the message with that sequence; protocol.ErrNotFound if there is none.
func BySeq(ctx context.Context, js jetstream.JetStream, stream string, seq uint64) (*event.Message, error) {
	return get(ctx, js, stream, request{Seq: seq})
}

// Last reads the newest message whose subject matches the filter, which may
// hold wildcards; protocol.ErrNotFound if there is none.
func Last(ctx context.Context, js jetstream.JetStream, stream, filter string) (*event.Message, error) {
	return get(ctx, js, stream, request{LastFor: filter})
}

// Next reads the first message at or after seq whose subject matches the
// filter; protocol.ErrNotFound if there is none.
func Next(ctx context.Context, js jetstream.JetStream, stream string, seq uint64, filter string) (*event.Message, error) {
	return get(ctx, js, stream, request{Seq: seq, NextFor: filter})
}

func get(ctx context.Context, js jetstream.JetStream, stream string, r request) (*event.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.MessageGetTime)
	defer cancel()
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var reply *nats.Msg
	subject := APIPrefix(js) + "STREAM.MSG.GET." + stream
	err = unlessDenied(ctx, subject, func(ctx context.Context) (err error) {
		reply, err = js.Conn().RequestWithContext(ctx, subject, body)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read from stream %q: %w", stream, err)
	}
	var resp response
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return nil, fmt.Errorf("read from stream %q: %w", stream, err)
	}
	if resp.Error != nil {
		if resp.Error.ErrorCode == noMessageFound {
			return nil, protocol.ErrNotFound
		}
		return nil, fmt.Errorf("read from stream %q: %w", stream, resp.Error)
	}
	if resp.Message == nil {
		return nil, fmt.Errorf("read from stream %q: empty answer", stream)
	}
	m := &event.Message{Seq: resp.Message.Seq, Time: resp.Message.Time, Subject: resp.Message.Subject,
		Data: resp.Message.Data}
	if len(resp.Message.Header) > 0 {
		// A server stores headers that no client can read. Such a message counts as one
		// without headers, as it does for subscribers, and stops nobody.
		if h, err := nats.DecodeHeadersMsg(resp.Message.Header); err == nil {
			m.Header = h
		}
	}
	return m, nil
}

// APIPrefix is what the subjects of the JetStream API begin with, its dot included.
func APIPrefix(js jetstream.JetStream) string {
	o := js.Options()
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return "$JS.API."
}
