package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Explain adds what to do to errors of JetStream whose text alone helps nobody;
// others, nil included, stay as they are.
func Explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled),
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("JetStream is not enabled on that server or account; start it with -js, choose another with ORDERBRIDGE_NATS_URL, or, if its streams lie in another account, set ORDERBRIDGE_JETSTREAM_API_PREFIX to the prefix under which they are imported")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("no answer in time: %w; the server is busy, its disk is full, or the user lacks a permission",
			err)
	}
	return err
}
