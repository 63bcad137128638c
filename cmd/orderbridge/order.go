package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func newOrder() *cobra.Command {
	q := store.OrderQuery{Look: limits.OrderLook}
	var since string
	format := output("text")
	cmd := &cobra.Command{
		Use:   "order ORDER",
		Short: "Tell what happened to an order, over all subscriptions",
		Long: `Tell the story of an order: its events in the stream, who hears them and why others do
not, the attempts, what is owed and why it waits, what was given up, and what to run.

Events are found by their subject where ORDERBRIDGE_SUBJECT_LAYOUT tells the order id,
by the delivery log, and among the newest messages of the stream; the command says how far
it has looked. The same with the program nats:
  nats stream view ORDERS --subject "orders.*.*.4711"
  nats stream get ATTEMPTS --last-for attempts.acme.4711
  nats kv get owed acme.4711 --raw`,
		Example: `  orderbridge order 4711
  orderbridge order 4711 --subscription acme
  orderbridge order 4711 --since 24h --look 20000 -o json`,
		Args: args(1, 1, "the id of an order"),
		PreRunE: func(*cobra.Command, []string) (err error) {
			if q.Look < 1 || q.Look > limits.OrderLookMost {
				return usagef("--look is %d; it can be 1 to %d", q.Look, limits.OrderLookMost)
			}
			if q.Subscription != "" {
				if err := checkID(q.Subscription); err != nil {
					return err
				}
			}
			q.Since, err = when("since", since, time.Now())
			return err
		},
		RunE: asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			q.Order = args[0]
			if q.Order == "" || len(q.Order) > limits.ValueBytes {
				return usagef("the id of an order has 1 to %d bytes", limits.ValueBytes)
			}
			story, err := s.catalog.Order(ctx, store.Everything(), q)
			if err != nil {
				return explain(err)
			}
			if format.data() {
				return printData(cmd, story)
			}
			return printStory(cmd, story)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&q.Subscription, "subscription", "", "only what concerns this `id`, also if it does not hear the order")
	flags.StringVar(&since, "since", "", "only what was published since this `time`: 24h, 7d or 2026-01-31T12:00:00Z")
	flags.IntVar(&q.Look, "look", limits.OrderLook,
		"how many of the newest `messages` to look through for events whose subject does not tell the order")
	format.register(cmd, "text", "json")
	return cmd
}

// printStory prints what stands, then how it came to that, then what to run.
func printStory(cmd *cobra.Command, s *store.OrderStory) error {
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, bold(cmd, printable(fmt.Sprintf("order %s: %s", s.Order, s.Says))))
	if len(s.Standings) > 0 {
		fmt.Fprintln(out)
		t := newTable("SUBSCRIPTION", "STATE", "SEQUENCE", "WHAT")
		for _, x := range s.Standings {
			t.row(x.Subscription, orDash(string(x.State)), sequenceOf(x.Sequence), x.Says)
		}
		if err := t.print(cmd); err != nil {
			return err
		}
	}
	if lines := timeline(s); len(lines) > 0 {
		fmt.Fprintln(out)
		t := newTable("TIME", "SEQUENCE", "WHAT")
		for _, l := range lines {
			at := "-"
			if !l.at.IsZero() {
				at = l.at.UTC().Format("2006-01-02T15:04:05.000Z")
			}
			t.row(at, sequenceOf(l.seq), l.what)
		}
		if err := t.print(cmd); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\n%s\n", printable(lookedText(s.Looked)))
	for _, remark := range s.Remarks {
		fmt.Fprintln(out, printable(remark))
	}
	printRemedies(out, s.Standings)
	return nil
}

// printRemedies prints the commands to run, one a line, each once.
func printRemedies(out io.Writer, standings []store.Standing) {
	remedies := []string{}
	for _, x := range standings {
		if x.Remedy != "" && !slices.Contains(remedies, x.Remedy) && x.Fate != store.OrderNotHeard {
			remedies = append(remedies, x.Remedy)
		}
	}
	for i, remedy := range remedies[:min(len(remedies), 10)] {
		if i == 0 {
			fmt.Fprint(out, "\nto mend it, or to know more:\n")
		}
		fmt.Fprintf(out, "  %s\n", printable(remedy))
	}
}

type storyLine struct {
	at   time.Time
	seq  uint64
	what string
}

// timeline is what happened, oldest first.
func timeline(s *store.OrderStory) []storyLine {
	var lines []storyLine
	for _, e := range s.Events {
		if e.Gone {
			lines = append(lines, storyLine{seq: e.Sequence, what: "published; it is not in the stream any more"})
			continue
		}
		lines = append(lines, storyLine{e.Published, e.Sequence,
			fmt.Sprintf("published %s to %s, event %s%s", orDash(e.EventType), e.Subject, e.EventID, heardBy(e))})
	}
	for i := range s.Attempts {
		a := &s.Attempts[i]
		what := fmt.Sprintf("%s: %s", a.Subscription, attemptText(a))
		lines = append(lines, storyLine{a.Time, a.Sequence, what})
	}
	for _, l := range s.DeadLetters {
		lines = append(lines, storyLine{l.Time, l.DeadLetter.Sequence,
			fmt.Sprintf("%s: dead letter %d: %s", l.Subscription, l.Sequence, l.Reason)})
	}
	slices.SortStableFunc(lines, func(a, b storyLine) int { return a.at.Compare(b.at) })
	return lines
}

func heardBy(e store.OrderEvent) string {
	n := 0
	for _, h := range e.Hearing {
		if h.Hears {
			n++
		}
	}
	if len(e.Hearing) == 0 {
		return ""
	}
	return ", heard by " + count(n, "subscription")
}

// attemptText is an attempt in words.
func attemptText(a *store.Attempt) string {
	text := a.Outcome
	if a.Attempt.Attempt > 0 && a.Request != nil {
		text = fmt.Sprintf("attempt %d %s", a.Attempt.Attempt, a.Outcome)
	}
	if a.Kind != "" && a.Kind != "live" && a.Kind != "retry" {
		text += " (" + a.Kind + ")"
	}
	if a.Status > 0 {
		text += ", " + strconv.Itoa(a.Status)
	}
	if a.Timings != nil {
		text += fmt.Sprintf(", %.0f ms", a.Timings.Total)
	}
	if a.Reason != "" {
		text += ": " + a.Reason
	}
	if !a.Next.IsZero() {
		text += "; next " + a.Next.UTC().Format(time.RFC3339)
	}
	return text
}

func lookedText(l store.Looked) string {
	var parts []string
	if len(l.Subjects) > 0 {
		parts = append(parts, "all of the stream under "+strings.Join(l.Subjects, " and "))
	}
	if l.To > 0 {
		parts = append(parts, fmt.Sprintf("all messages from sequence %d to %d", l.From, l.To))
	}
	if len(parts) == 0 {
		return "the stream is empty"
	}
	text := "looked at " + strings.Join(parts, ", and at ")
	if l.First > 0 && l.From > l.First {
		text += fmt.Sprintf("; the stream begins at %d (--look goes further)", l.First)
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func sequenceOf(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}
