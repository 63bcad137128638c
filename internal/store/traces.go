package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// Traces reads what leaders of a shard have left on the bus beside its lease: the
// highest epoch that one of its fences or durables tells, and whether there is
// anything at all (R16). Without shards that is anything of the bridge's; with
// them, a fence or durable of this one, or, where no layout came before, an entry
// of one of its subscriptions. A stream or bucket that is not there holds nothing.
func Traces(ctx context.Context, js jetstream.JetStream, n Names, layout protocol.Layout,
	number int) (protocol.Traces, error) {
	var t protocol.Traces
	shard := layout.Shard(number)
	epochs, present, err := durableEpochs(ctx, js, n, shard)
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
		t.Any = t.Any || shard.Layout == 0 && info.State.LastSeq > 0
		held, err := fenceEpochs(ctx, js, name, shard)
		if err != nil {
			return t, err
		}
		epochs = append(epochs, held...)
	}
	t.Any = t.Any || len(epochs) > 0
	for _, e := range epochs {
		t.Epoch = max(t.Epoch, e)
	}
	if !t.Any && layout.Former == 0 {
		t.Any, err = holdsAny(ctx, js, n, shard)
	}
	return t, err
}

// holdsAny tells whether a state bucket holds an entry of the shard's subscriptions.
func holdsAny(ctx context.Context, js jetstream.JetStream, n Names, shard protocol.Shard) (bool, error) {
	for _, name := range []string{n.Status, n.Owed} {
		keys, err := bucketKeys(ctx, js, name)
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return false, err
		}
		if slices.ContainsFunc(keys, func(key string) bool { return shard.Has(ownerOf(key)) }) {
			return true, nil
		}
	}
	return false, nil
}

// durableEpochs are the epochs in the names of a shard's durables: <prefix><epoch>-<n>.
// present tells whether a build that names deliveries as this one does made one
// of them: such builds tell something of themselves in its metadata.
func durableEpochs(ctx context.Context, js jetstream.JetStream, n Names, shard protocol.Shard) (epochs []uint64,
	present bool, err error) {
	s, err := js.Stream(ctx, n.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("stream %q: %w", n.Stream, err)
	}
	prefix := DurablePrefix(n, shard)
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		rest, ours := strings.CutPrefix(name, prefix)
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

func fenceEpochs(ctx context.Context, js jetstream.JetStream, bucket string, shard protocol.Shard) (epochs []uint64,
	err error) {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(limits.TracesAtOnce)
	for i := range fences {
		g.Go(func() error {
			m, err := msgget.Last(ctx, js, bucketStream(bucket), bucketSubject(bucket, fenceKeyOf(shard, i)))
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
