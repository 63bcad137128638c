package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Maker makes a state bucket that somebody has deleted under the bridge (R16),
// as Ensure would. A bucket that is there is left as it is.
type Maker func(ctx context.Context, bucket string) error

// NewMaker makes buckets as the options say.
func NewMaker(js jetstream.JetStream, o Options) Maker {
	return func(ctx context.Context, bucket string) error {
		e := ensurer{js: js, o: o, n: o.Names()}
		steps := map[string]func(context.Context) error{e.n.Status: e.status, e.n.Owed: e.owed, e.n.Lease: e.lease}
		step := steps[bucket]
		if step == nil {
			return fmt.Errorf("bucket %q is none of the bridge's state", bucket)
		}
		if err := e.account(ctx); err != nil {
			return err
		}
		if err := step(ctx); err != nil {
			return err
		}
		for _, f := range e.found {
			if f.Severity == Error {
				return errors.New(f.String())
			}
		}
		return nil
	}
}
