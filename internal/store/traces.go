package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

const (
	codeStreamNotFound = 10059
)

// Traces reads what leaders have left on the bus beside the lease: the highest
// epoch that a fence or a durable of the feed tells, and whether there is
// anything at all (R16). A stream or bucket that is not there holds nothing.
func Traces(ctx context.Context, js jetstream.JetStream, n Names) (protocol.Traces, error) {
	var t protocol.Traces
	epochs, present, err := durableEpochs(ctx, js, n)
	t.PresentIDs = present
	if err != nil {
		return t, err
	}
	for _, name := range []string{n.Status, n.Owed} {
		info, err := msgget.Info(ctx, js, bucketStream(name))
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return t, fmt.Errorf("bucket %q: %w", name, err)
		}
		t.Any = t.Any || info.State.LastSeq > 0
		held, err := fenceEpochs(ctx, js, name)
		if err != nil {
			return t, err
		}
		epochs = append(epochs, held...)
	}
	t.Any = t.Any || len(epochs) > 0
	for _, e := range epochs {
		t.Epoch = max(t.Epoch, e)
	}
	return t, nil
}

// durableEpochs are the epochs in the names of the feed's durables: <prefix><epoch>-<n>.
// present tells whether a build that names deliveries as this one does made one
// of them: such builds tell something of themselves in its metadata.
func durableEpochs(ctx context.Context, js jetstream.JetStream, n Names) (epochs []uint64, present bool, err error) {
	s, err := js.Stream(ctx, n.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("stream %q: %w", n.Stream, err)
	}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		rest, ours := strings.CutPrefix(name, n.DurablePrefix)
		number, _, _ := strings.Cut(rest, "-")
		if epoch, err := strconv.ParseUint(number, 10, 64); ours && err == nil && epoch <= maxTracedEpoch {
			epochs = append(epochs, epoch)
			c, err := s.Consumer(ctx, name)
			if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil, false, fmt.Errorf("consumer %q of stream %q: %w", name, n.Stream, err)
			}
			present = present || err == nil && c.CachedInfo().Config.Metadata[metaRecords] != ""
		}
	}
	if err := names.Err(); err != nil {
		return nil, false, fmt.Errorf("consumers of stream %q: %w", n.Stream, err)
	}
	return epochs, present, nil
}

// maxTracedEpoch bounds what is believed of a name or a fence that somebody made by hand.
const maxTracedEpoch = 1 << 53

func fenceEpochs(ctx context.Context, js jetstream.JetStream, bucket string) (epochs []uint64, err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.TracesAtOnce)
	for i := range fences {
		g.Go(func() error {
			m, err := msgget.Last(ctx, js, bucketStream(bucket), bucketSubject(bucket, fenceKey(i)))
			if errors.Is(err, protocol.ErrNotFound) || errorCode(err) == codeStreamNotFound {
				return nil
			}
			if err != nil {
				return fmt.Errorf("fence %d of bucket %q: %w", i, bucket, err)
			}
			if epoch, err := strconv.ParseUint(string(m.Data), 10, 64); err == nil && epoch <= maxTracedEpoch {
				mu.Lock()
				defer mu.Unlock()
				epochs = append(epochs, epoch)
			}
			return nil
		})
	}
	return epochs, g.Wait()
}
