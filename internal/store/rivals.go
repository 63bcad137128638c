package store

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Bridges beside this one: with another prefix they have a lease, a feed and a
// ledger of their own. That is meant for other records. Where two of them read
// the same stream and the same records, each delivery is made twice.

const (
	// metaRecords is, in the metadata of a feed's durable, the bucket of the
	// records that its bridge follows.
	metaRecords = "orderbridge.records"

	// metaLayout is the layout to which the durable belongs.
	metaLayout = "orderbridge.layout"
)

var feedName = regexp.MustCompile(`^(.*)orderbridge-(?:g[0-9]+s[0-9]+-)?[0-9]+-[0-9]+$`)

// DurableMetadata is what the feed's durables carry: for other bridges, and for
// the day on which the layout is lost.
func DurableMetadata(n Names, layout protocol.Layout) map[string]string {
	return map[string]string{metaRecords: n.Subscriptions, metaLayout: string(protocol.Encode(layout))}
}

// rivals looks for bridges under other prefixes on the source stream.
func (w *assetWatch) rivals(ctx context.Context, n Names) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	stream, err := w.js.Stream(ctx, n.Stream)
	if err != nil {
		return nil, err
	}
	own := strings.TrimSuffix(n.DurablePrefix, "orderbridge-")
	var found []Finding
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		m := feedName.FindStringSubmatch(name)
		if m == nil || m[1] == own {
			continue
		}
		c, err := stream.Consumer(ctx, name)
		if err != nil {
			continue // it went meanwhile
		}
		if f, is := rival(c.CachedInfo(), m[1], n); is {
			found = append(found, f)
		}
	}
	return found, names.Err()
}

func rival(info *jetstream.ConsumerInfo, prefix string, n Names) (Finding, bool) {
	alive := info.NumWaiting > 0 || lately(info.Delivered.Last, info.TimeStamp) ||
		lately(info.AckFloor.Last, info.TimeStamp)
	records, told := info.Config.Metadata[metaRecords]
	if !alive || told && records != n.Subscriptions {
		return Finding{}, false
	}
	sure := "reads it and the same records too: each delivery is made twice"
	if !told {
		sure = "reads it too, and if it follows the same records, each delivery is made twice"
	}
	return Finding{Warning, "stream " + n.Stream,
		fmt.Sprintf("another bridge, with ORDERBRIDGE_PREFIX=%q (this one has %q), %s. Stop one of them, give both the same prefix if they are meant as replicas, or give one records of its own with ORDERBRIDGE_SUBSCRIPTIONS_BUCKET",
			prefix, strings.TrimSuffix(n.DurablePrefix, "orderbridge-"), sure)}, true
}

func lately(t *time.Time, now time.Time) bool { return t != nil && now.Sub(*t) < limits.RivalLives }
