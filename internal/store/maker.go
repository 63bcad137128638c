package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// Maker makes a state bucket that somebody has deleted under the bridge (R16),
// as Ensure would. A bucket that is there is left as it is.
type Maker func(ctx context.Context, bucket string) error

// NewMaker makes buckets as the options say.
func NewMaker(js jetstream.JetStream, o Options) Maker {
	return func(ctx context.Context, bucket string) error {
		e := ensurer{js: js, o: o, n: o.Names()}
		assets := e.assets()
		i := slices.IndexFunc(assets, func(a asset) bool { return a.config.Name == bucketStream(bucket) })
		if i < 0 || !slices.Contains(e.n.Buckets(), bucket) {
			return fmt.Errorf("bucket %q does not hold state of the bridge", bucket)
		}
		if err := e.ask(ctx); err != nil {
			return err
		}
		if err := e.ensure(ctx, assets[i]); err != nil {
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
