package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func newSubscriptionsTest() *cobra.Command {
	var given givenEvent
	var recordFile string
	format := output("text")
	cmd := &cobra.Command{
		Use:   "test [ID]",
		Short: "Send one event to an endpoint, and show what was sent and what came back",
		Long: `Have a running bridge send one event to the endpoint of a subscription, as deliveries
are sent, once: a sample, the event of a file, or one of the stream. It is marked with
X-Test: true, has ids that begin with test-, and owes nothing. Secrets are not shown.

With --record the record of a file is tried, which is not stored; with an ID as well,
sealed secrets are opened as those of that subscription. Exit code 1 if the endpoint
did not take the event.`,
		Example: `  orderbridge subscriptions test acme
  orderbridge subscriptions test acme --seq 4711
  orderbridge subscriptions test acme --event order.json --subject orders.acme.OrderAccepted.4711
  orderbridge subscriptions test --record acme.json`,
		Args: args(0, 1, "ID, or --record FILE"),
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) (err error) {
			var q store.TestRequest
			if given.given() || given.subject != "" || len(given.headers) > 0 {
				if q.GivenEvent, err = given.read(cmd); err != nil {
					return err
				}
			}
			if len(args) == 1 {
				q.Subscription = args[0]
			}
			switch {
			case recordFile != "":
				if q.Record, err = readRecord(cmd, recordFile, &q.Subscription); err != nil {
					return err
				}
			case len(args) == 0:
				return usagef("which endpoint? Give the ID of a subscription, or --record FILE")
			}
			return s.test(ctx, cmd, q, format.data())
		}),
	}
	given.register(cmd)
	cmd.Flags().StringVar(&recordFile, "record", "", "file of a record to try, which is not stored")
	format.register(cmd, "text", "json")
	return cmd
}

// test has a bridge send an event, and shows what came of it.
func (s *session) test(ctx context.Context, cmd *cobra.Command, q store.TestRequest, asJSON bool) error {
	a, err := s.catalog.Test(ctx, store.Everything(), q)
	switch {
	case errors.Is(err, store.ErrNoJudge):
		return errors.New("no bridge has answered: is `orderbridge serve` running, and of this version?")
	case errors.Is(err, protocol.ErrNotFound) && len(q.Record) == 0:
		if known := s.mustKnow(ctx, q.Subscription); known != nil {
			return known
		}
	}
	if err != nil {
		return explain(err)
	}
	if asJSON {
		err = printData(cmd, a)
	} else {
		printTest(cmd, &a)
	}
	if err == nil && !a.Success {
		err = fmt.Errorf("the endpoint did not take the event: %s", a.Reason)
	}
	return err
}

func printTest(cmd *cobra.Command, a *store.TestAnswer) {
	w := cmd.OutOrStdout()
	for _, remark := range a.Remarks {
		fmt.Fprintln(w, "note: "+printable(remark))
	}
	if a.Request != nil {
		printRequest(cmd, a.Request)
		fmt.Fprintln(w)
	}
	switch {
	case a.Status > 0:
		fmt.Fprintf(w, "answer: %d", a.Status)
	default:
		fmt.Fprint(w, "no answer")
	}
	fmt.Fprintf(w, " after %d ms%s\n", a.Duration, steps(a.Timings))
	if a.Response == nil {
		return
	}
	for _, h := range a.Response.Headers {
		fmt.Fprintf(w, "%s: %s\n", printable(h.Name), printable(h.Value))
	}
	if a.Response.Excerpt != "" {
		fmt.Fprintf(w, "\n%s\n", printable(a.Response.Excerpt))
	}
}

// steps tells where the time of an attempt went.
func steps(t *bridge.AttemptTimings) string {
	if t == nil {
		return ""
	}
	text := ""
	for _, step := range []struct {
		name string
		ms   float64
	}{{"dns", t.DNS}, {"connect", t.Connect}, {"tls", t.TLS}, {"first byte", t.FirstByte}} {
		if step.ms > 0 {
			text += fmt.Sprintf(", %s %.1f ms", step.name, step.ms)
		}
	}
	if text == "" {
		return ""
	}
	return " (" + text[2:] + ")"
}
