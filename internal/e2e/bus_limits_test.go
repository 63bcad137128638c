package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// account is a server whose one account has these JetStream limits.
func account(limits string) string {
	return "accounts { shop { jetstream { " + limits + " }, users: [{user: u, password: p}] } }"
}

// as gives a URL the user of account.
func as(url string) string { return strings.Replace(url, "nats://", "nats://u:p@", 1) }

// Servers and accounts that allow little: the bridge works with less, says in
// the log what is smaller and by which setting, also after a second start, and
// what an endpoint that fails is owed waits and arrives.
func TestWorksWithinLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, config string
		stream       *jetstream.StreamConfig // ORDERS, made first
		says         string                  // in the log
	}{
		{name: "max_ack_pending of the server", config: "jetstream { limits { max_ack_pending: 100 } }", says: `max_ack_pending.* window=64`},
		{name: "max_ack_pending of the account", config: account("max_mem: 1G, max_file: 4G, max_ack_pending: 10"), says: `max_ack_pending.* window=8`},
		{name: "consumer limits of the stream", stream: &jetstream.StreamConfig{ConsumerLimits: jetstream.StreamConsumerLimits{MaxAckPending: 50}}, says: `max_ack_pending.* window=32`},
		{name: "max_request_batch", config: "jetstream { limits { max_request_batch: 10 } }", says: "leading"},
		{name: "max_consumers of the stream", stream: &jetstream.StreamConfig{MaxConsumers: 1}, says: `message by message`},
		{name: "max_consumers of the account", config: account("max_mem: 1G, max_file: 4G, max_consumers: 1"), says: `message by message`},
		{name: "duplicate_window", config: `jetstream { limits { duplicate_window: "45s" } }`, says: "duplicate_window"},
		{name: "256 MB", config: account("max_mem: 0, max_file: 256M"), says: `DEAD_LETTERS.*|it holds 6[0-9] MiB instead of 1024 MiB.*max_storage`},
		{name: "sizes are demanded", config: account("max_mem: 0, max_file: 300M, max_bytes: true"), says: `it holds 1[0-9][0-9] MiB instead of no bound`},
		{name: "six streams", config: account("max_mem: 0, max_file: 4G, max_streams: 6"), says: `allows 6 streams.*max_streams`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ConfigureBus(t, tt.config)
			url := bus.URL()
			if strings.HasPrefix(tt.config, "accounts") {
				url = as(url)
			}
			js := jetStream(t, url)
			if tt.stream != nil {
				stream(t, js, *tt.stream)
			}
			down := receive(t, lab.Always(http.StatusInternalServerError))
			up := receive(t, nil)
			p := serving(t, url)
			subscribe(t, js, "down", recordFor(down))
			subscribe(t, js, "up", recordFor(up))
			const events = 120
			for n := range events {
				publishOne(t, js, fmt.Sprintf("o%d", n), 1)
			}
			await(t, 20*time.Second, "the healthy endpoint got all", func() bool { return up.Delivered() == events })
			p.stop()
			first := p.Output()
			p = serving(t, url)
			down.Reply(nil)
			await(t, 40*time.Second, "what was owed arrived", func() bool { return down.Delivered() == events })
			says := regexp.MustCompile(tt.says)
			await(t, 20*time.Second, "a log matches "+tt.says, func() bool { return says.MatchString(first + p.Output()) })
			if n := up.Count(); n != events {
				t.Errorf("the healthy endpoint got %d requests", n)
			}
		})
	}
}

// busLimit is something in the way of the bridge that its words must name.
type busLimit struct {
	name, config, mended string
	prepare              func(t *testing.T, js jetstream.JetStream)
	mend                 func(t *testing.T, js jetstream.JetStream)
	says                 string
}

func busLimits() []busLimit {
	const enough = "max_mem: 1G, max_file: 4G"
	return []busLimit{
		{name: "five streams", config: account(enough + ", max_streams: 5"), mended: account(enough), says: "allows 5 streams and has 5, the bridge needs 9 of its own (ORDERS, KV_subscriptions, KV_subscription_status, KV_owed, KV_lease, DEAD_LETTERS, ALERTS, AUDIT, ATTEMPTS): raise max_streams"},
		{name: "no room", config: account("max_mem: 0, max_file: 2M"), mended: account(enough), says: "raise max_storage"},
		{name: "duplicate window", config: `jetstream { limits { duplicate_window: "5s" } }`, says: "raise duplicate_window in the limits of its jetstream block"},
		{name: "all consumers taken", config: account(enough + ", max_consumers: 1"), prepare: func(t *testing.T, js jetstream.JetStream) {
			stream(t, js, jetstream.StreamConfig{})
			if _, err := js.CreateConsumer(within(t, 10*time.Second), "ORDERS", jetstream.ConsumerConfig{Durable: "audit", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
				t.Fatal(err)
			}
		}, mend: func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteConsumer(within(t, 10*time.Second), "ORDERS", "audit"); err != nil {
				t.Fatal(err)
			}
		}, says: "(max_consumers): delete those that nobody needs"},
		{name: "state bucket that is a mirror", prepare: func(t *testing.T, js jetstream.JetStream) {
			stream(t, js, jetstream.StreamConfig{})
			if _, err := js.CreateStream(within(t, 10*time.Second), jetstream.StreamConfig{Name: "KV_owed", Mirror: &jetstream.StreamSource{Name: "ORDERS"}}); err != nil {
				t.Fatal(err)
			}
		}, mend: func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteStream(within(t, 10*time.Second), "KV_owed"); err != nil {
				t.Fatal(err)
			}
		}, says: `bucket owed: it is a mirror of "ORDERS", which takes no writes`},
		{name: "work queue", prepare: func(t *testing.T, js jetstream.JetStream) {
			stream(t, js, jetstream.StreamConfig{Retention: jetstream.WorkQueuePolicy})
		}, mend: func(t *testing.T, js jetstream.JetStream) {
			if err := js.DeleteStream(within(t, 10*time.Second), "ORDERS"); err != nil {
				t.Fatal(err)
			}
		}, says: "stream ORDERS: its retention is workqueue"},
	}
}

// What stands in the way of everything is named with its setting, in /readyz
// and in the log, and is waited out.
func TestNamesTheLimitAndWaits(t *testing.T) {
	t.Parallel()
	for _, tt := range busLimits() {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ConfigureBus(t, tt.config)
			url := bus.URL()
			if strings.HasPrefix(tt.config, "accounts") {
				url = as(url)
			}
			js := jetStream(t, url)
			if tt.prepare != nil {
				tt.prepare(t, js)
			}
			p := launch(t, "ORDERBRIDGE_NATS_URL="+url)
			p.said(20*time.Second, `level=(WARN|ERROR) `)
			p.complains(tt.says)
			switch {
			case tt.mend != nil:
				tt.mend(t, js)
			case tt.mended != "":
				bus.Change(tt.mended)
			default:
				return
			}
			p.leads()
			p.stop()
		})
	}
}

// stream makes ORDERS.
func stream(t *testing.T, js jetstream.JetStream, c jetstream.StreamConfig) {
	t.Helper()
	c.Name, c.Subjects = "ORDERS", []string{"orders", "orders.>"}
	if _, err := js.CreateStream(within(t, 10*time.Second), c); err != nil {
		t.Fatal(err)
	}
}
