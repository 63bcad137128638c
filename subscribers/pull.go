package subscribers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// pullRequest is one request for messages. jetstream.Fetch limits either their
// number or their bytes; a reader needs both.
type pullRequest struct {
	Batch    int  `json:"batch"`
	MaxBytes int  `json:"max_bytes,omitempty"`
	NoWait   bool `json:"no_wait,omitempty"`
}

// pullStatuses is how many status messages may come beside those that were asked for.
const pullStatuses = 16

var (
	errMaxBytes     = errors.New("the next message exceeds the bytes asked for")
	errConsumerGone = errors.New("consumer is gone")
)

// pull calls take for each message that is there now; it ends when there are no
// more, when the batch is full, or with an error.
func pull(ctx context.Context, js jetstream.JetStream, stream, consumer string, r pullRequest,
	take func(*nats.Msg) error) error {
	ctx, cancel := context.WithTimeout(ctx, limits.PullTime)
	defer cancel()
	nc := js.Conn()
	inbox := nc.NewInbox()
	// A synchronous subscription would have room for 65,536 messages: half a
	// megabyte for each request.
	msgs := make(chan *nats.Msg, r.Batch+pullStatuses)
	sub, err := nc.ChanSubscribe(inbox, msgs)
	if err != nil {
		return err
	}
	defer sub.Unsubscribe() //nolint:errcheck // fails only on a closed connection
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := nc.PublishRequest(msgget.APIPrefix(js)+"CONSUMER.MSG.NEXT."+stream+"."+consumer, inbox, body); err != nil {
		return err
	}
	for n := 0; n < r.Batch; {
		var m *nats.Msg
		select {
		case m = <-msgs:
		case <-ctx.Done():
			return ctx.Err()
		}
		if status := m.Header.Get("Status"); len(m.Data) == 0 && status != "" && m.Reply == "" {
			switch {
			case status == "404", status == "408":
				return nil
			case status == "503":
				return errConsumerGone
			case status == "409" && strings.Contains(strings.ToLower(m.Header.Get("Description")),
				"message size exceeds maxbytes"):
				return errMaxBytes
			case status == "409" && strings.Contains(strings.ToLower(m.Header.Get("Description")), "batch completed"):
				return nil
			case status == "100":
				continue
			}
			return fmt.Errorf("the bus ended the request: %s %s", status, m.Header.Get("Description"))
		}
		if err := take(m); err != nil {
			return err
		}
		n++
	}
	return nil
}
