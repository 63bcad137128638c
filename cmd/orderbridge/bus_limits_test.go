package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/testbus"
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
			bus := testbus.Configure(t, tt.config)
			url := bus.URL()
			if strings.HasPrefix(tt.config, "accounts") {
				url = as(url)
			}
			js := jetStream(t, url)
			if tt.stream != nil {
				tt.stream.Name, tt.stream.Subjects = "ORDERS", []string{"orders", "orders.>"}
				if _, err := js.CreateStream(within(t, 10*time.Second), *tt.stream); err != nil {
					t.Fatal(err)
				}
			}
			down := receive(t, always(http.StatusInternalServerError))
			up := receive(t, nil)
			p := serving(t, url)
			subscribe(t, js, "down", record(down))
			subscribe(t, js, "up", record(up))
			const events = 120
			for n := range events {
				publishOne(t, js, fmt.Sprintf("o%d", n), 1)
			}
			await(t, 20*time.Second, "the healthy endpoint got all", func() bool { return up.delivered() == events })
			p.stop()
			first := p.log.String()
			p = serving(t, url)
			down.answer(nil)
			await(t, 40*time.Second, "what was owed arrived", func() bool { return down.delivered() == events })
			all := &program{t: t, done: p.done}
			fmt.Fprint(&all.log, first, p.log.String())
			all.said(time.Second, tt.says)
			if n := up.count(); n != events {
				t.Errorf("the healthy endpoint got %d requests", n)
			}
		})
	}
}
