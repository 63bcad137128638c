package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func newExplain() *cobra.Command {
	var given givenEvent
	var q store.ExplainRequest
	var recordFile string
	format := output("table")
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Explain who hears an event, why others do not, and what would be sent",
		Long: `Ask a running bridge what becomes of an event: for each subscription whether it hears
it, which clause decides (event, status, subject, type, tenant, anchor, refusal, filter,
request), and the request that would be sent, without its secrets. Nothing is sent.

The event is one of the stream (--seq), or a file: the payload, or what
` + "`nats stream get ORDERS 5 --json`" + ` prints. Without --subject a payload's subject is made
by ORDERBRIDGE_SUBJECT_LAYOUT of what the event tells; the answer says so.

With --subscription the answer is about that one, clause by clause; else it lists those
that hear the event, and with --others N some that do not. With --record a record is
tried that is not stored.`,
		Example: `  orderbridge explain --seq 4711
  orderbridge explain --event order.json --subject orders.acme.OrderAccepted.4711 --header ce-type:OrderAccepted
  orderbridge explain --seq 4711 --subscription acme
  orderbridge explain --seq 4711 --others 10 -o json
  orderbridge explain --event order.json --record acme.json`,
		Args: noArgs,
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, _ []string) (err error) {
			if q.GivenEvent, err = given.read(cmd); err != nil {
				return err
			}
			if recordFile != "" {
				if q.Record, err = readRecord(cmd, recordFile, &q.Subscription); err != nil {
					return err
				}
			}
			answer, err := s.explanation(ctx, q)
			if err != nil {
				return err
			}
			if format.data() {
				return printData(cmd, answer)
			}
			return printExplanation(cmd, answer, q.Subscription != "")
		}),
	}
	given.register(cmd)
	cmd.Flags().StringVar(&q.Subscription, "subscription", "", "explain this one, also if it does not hear the event")
	cmd.Flags().StringVar(&recordFile, "record", "", "file of a record to try, which is not stored")
	cmd.Flags().IntVar(&q.Others, "others", 0, "explain so many that do not hear the event, at most 100")
	cmd.Flags().IntVar(&q.Limit, "limit", 20, "how many that hear it, at most 100")
	cmd.Flags().StringVar(&q.After, "after", "", "those behind this id: where the answer before ended")
	format.register(cmd, "table", "json")
	return cmd
}

// explanation asks a bridge.
func (s *session) explanation(ctx context.Context, q store.ExplainRequest) (store.ExplainAnswer, error) {
	answer, err := s.catalog.Explain(ctx, store.Everything(), q)
	switch {
	case errors.Is(err, store.ErrNoJudge):
		return answer, errors.New("no bridge has answered: is `orderbridge serve` running, and of this version?")
	case errors.Is(err, protocol.ErrNotFound) && q.Subscription != "" && len(q.Record) == 0:
		if known := s.mustKnow(ctx, q.Subscription); known != nil {
			return answer, known
		}
	}
	return answer, explain(err)
}

func printExplanation(cmd *cobra.Command, a store.ExplainAnswer, one bool) error {
	w := cmd.OutOrStdout()
	fmt.Fprintln(w, eventLine(a.Event))
	for _, remark := range a.Event.Remarks {
		fmt.Fprintln(w, "  note: "+printable(remark))
	}
	fmt.Fprintln(w)
	if one {
		for i := range a.Hearing {
			printOne(cmd, &a.Hearing[i])
		}
		return nil
	}
	fmt.Fprintf(w, "%s it, filters apart\n", count(a.Count, "subscription")+map[bool]string{true: " hears", false: " hear"}[a.Count == 1])
	if len(a.Hearing)+len(a.Others) > 0 {
		t := newTable("SUBSCRIPTION", "OUTCOME", "DECIDED", "WHY")
		for _, x := range append(a.Hearing, a.Others...) {
			decided := string(x.Decided)
			if decided == "" {
				decided = "-"
			}
			t.row(x.Subscription, string(x.Outcome), decided, x.Why)
		}
		if err := t.print(cmd); err != nil {
			return err
		}
	}
	if a.Next != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "there are more: --after %s\n", a.Next)
	}
	return nil
}

// eventLine tells an event in one line.
func eventLine(e *store.ExplainedEvent) string {
	line := "event"
	if e.Sequence > 0 {
		line += fmt.Sprintf(" %d", e.Sequence)
	}
	for _, part := range []struct{ name, value string }{{"subject", e.Subject}, {"tenant", e.Tenant}, {"type", e.EventType},
		{"order", e.OrderID}, {"legacy order", e.LegacyOrderID}, {"id", e.PublisherID}} {
		if part.value != "" {
			line += ", " + part.name + " " + printable(part.value)
		}
	}
	return line + fmt.Sprintf(", %d bytes", e.Bytes)
}

// printOne tells a subscription clause by clause, and the request.
func printOne(cmd *cobra.Command, x *bridge.Explanation) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s: %s: %s\n", x.Subscription, x.Outcome, printable(x.Why))
	for _, c := range x.Clauses {
		mark := "yes"
		if !c.Holds {
			mark = "NO "
		}
		text := c.Saw
		if c.Asks != "" {
			text = strings.TrimSuffix(c.Asks+" | "+c.Saw, " | ")
		}
		fmt.Fprintf(w, "  %s  %-8s %s\n", mark, c.Name, printable(strings.Join(strings.Fields(text), " ")))
		for _, v := range c.Values {
			fmt.Fprintf(w, "                 %s = %s\n", printable(v.Expression), printable(v.Value))
		}
	}
	if x.Request != nil {
		fmt.Fprintln(w)
		printRequest(cmd, x.Request)
	}
}

// printRequest shows a request as it goes over the wire, its secrets apart.
func printRequest(cmd *cobra.Command, r *bridge.Request) {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s %s\n", r.Method, printable(r.URL))
	for _, h := range r.Headers {
		fmt.Fprintf(w, "%s: %s\n", h.Name, printable(h.Value))
	}
	if r.Bytes == 0 {
		return
	}
	note := ""
	switch {
	case r.Encoding != "":
		note = " (base64)"
	case r.BodyCut:
		note = fmt.Sprintf(" … (%d bytes in all)", r.Bytes)
	}
	fmt.Fprintf(w, "\n%s%s\n", r.Body, note)
}
