package audit

import (
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/store"
)

// Spared are the beginnings of the subjects that only the audit uses: with the
// permissions of a former build there is no audit, and everything else goes on.
func Spared(n store.Names) []string {
	spared := []string{n.AuditSubject + ".", "$KV." + n.Subscriptions + ".*"}
	for _, verb := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.MSG.GET.", "CONSUMER.CREATE."} {
		spared = append(spared, jetstream.DefaultAPIPrefix+verb+n.Audit)
	}
	return spared
}
