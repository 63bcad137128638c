package subscribers_test

import (
	"log/slog"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"orderbridge/internal/lab"
	"orderbridge/publishers"
	"orderbridge/subscribers"
)

// Watermill's own Pub/Sub suite; docs/decisions/0004-conformance.md says what
// of it does not apply.
func TestConformance(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		window  int
		ordered bool
	}{
		// As the suite understands order: no message before the Ack of the last.
		"window of one": {1, true},
		"window":        {0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := lab.StartBus(t).JetStream()
			group := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
				pub, err := publishers.NewJetStream(publishers.JetStreamOptions{JetStream: js})
				if err != nil {
					t.Fatal(err)
				}
				sub, err := subscribers.NewJetStream(subscribers.Options{
					JetStream: js, DurablePrefix: group + "-", Window: tt.window, Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				return pub, sub
			}
			tests.TestPubSub(t, tests.Features{
				ConsumerGroups:        true,
				GuaranteedOrder:       tt.ordered,
				Persistent:            true,
				RequireSingleInstance: true,
				ForceShort:            testing.Short(),
			}, func(t *testing.T) (message.Publisher, message.Subscriber) { return group(t, "suite") }, group)
		})
	}
}
