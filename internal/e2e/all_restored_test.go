package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"orderbridge/internal/lab"
)

// stateBackup are all streams, in the order in which docs/operations.md backs them up.
var stateBackup = strings.Fields("KV_lease KV_owed KV_subscription_status KV_subscriptions DEAD_LETTERS ORDERS ALERTS AUDIT ATTEMPTS")

// All streams are restored from one backup: what was owed then is owed again, and
// nothing is said to be lost. The ledger alone, restored from an older backup, is.
func TestAllRestoredFromABackup(t *testing.T) {
	t.Parallel()
	for name, parts := range map[string]struct {
		restored []string
		lost     bool
	}{
		"everything":         {stateBackup, false},
		"only the ledger":    {[]string{"KV_owed"}, true},
		"ledger and verdict": {[]string{"KV_owed", "KV_subscription_status"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, lab.Always(http.StatusServiceUnavailable))
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e, hourlyRetries))
			publishSome(t, js, someOrders, 1, 3)
			await(t, lab.Patience, "the orders are owed, and the lease knows it", func() bool {
				kv, err := js.KeyValue(within(t, lab.Patience), "lease")
				if err != nil {
					t.Fatal(err)
				}
				entry, err := kv.Get(within(t, lab.Patience), "leader")
				if err != nil {
					t.Fatal(err)
				}
				buckets := gjson.GetBytes(entry.Value(), "buckets")
				return len(owedKeys(t, js)) >= len(someOrders) && buckets.Get("owed").Int() > 0 && buckets.Get("status").Int() > 0
			})
			dir := t.TempDir()
			for _, stream := range stateBackup { // while it runs
				natsProgram(t, bus.URL(), "stream", "backup", stream, filepath.Join(dir, stream), "--no-progress")
			}
			p.stop()
			for _, stream := range parts.restored {
				if err := js.DeleteStream(within(t, lab.Patience), stream); err != nil {
					t.Fatal(err)
				}
				natsProgram(t, bus.URL(), "stream", "restore", filepath.Join(dir, stream), "--no-progress")
			}
			e.Reply(nil)
			p = serving(t, bus.URL())
			if parts.lost {
				p.said(lab.Patience, "what only it told is lost")
				return
			}
			p.said(lab.Patience, "the bucket owed was restored together with the lease")
			if out, code := command(t, bus.URL(), "", "retry-now", "s"); code != 0 {
				t.Error(out)
			}
			gets(t, e, someOrders, 1, 3)
			if strings.Contains(p.Output(), "is lost") {
				t.Error("something is said to be lost")
			}
			if list := streams(t, js)["ALERTS"]; strings.Contains(list, "lost") {
				t.Errorf("alerts: %s", list)
			}
		})
	}
}
