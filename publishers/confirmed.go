package publishers

import (
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
)

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
// protocol.ErrRefused when it certainly will not store it, else another error.
func publishConfirmed(ctx context.Context, js jetstream.JetStream, timeout time.Duration, msg *nats.Msg,
	opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := js.PublishMsg(ctx, msg, opts...)
	if err != nil && isRefusal(err) {
		return fmt.Errorf("%w: %w", protocol.ErrRefused, err)
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
