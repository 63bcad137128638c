package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge/event"
	"orderbridge/config"
	"orderbridge/internal/limits"
)

// codeOtherStream is JetStream's answer when a subject belongs to another stream than expected.
const codeOtherStream = 10060

type publishResult struct {
	Subject    string `json:"subject"`
	Stream     string `json:"stream"`
	Published  int    `json:"published"`
	Duplicates int    `json:"duplicates"` // known by their id, not stored again
	Last       uint64 `json:"lastSequence"`
}

func newPublish() *cobra.Command {
	var subject, id string
	format := output("text")
	cmd := &cobra.Command{
		Use:   "publish [FILE|-]",
		Short: "Publish order events, one JSON document or one a line (NDJSON)",
		Long: `Publish events from a file or from stdin: one JSON document, or NDJSON with one
event a line. The bytes are published as they are, without the white space around
them. The whole input is checked first: if it holds an error, its line is named and
nothing is published.

With --id the bus drops what it has already: one event gets this id, the lines of
an NDJSON input ID.1, ID.2, and so on (empty lines are not counted), so that an
interrupted run can be repeated. If the subject names a tenant, the id is
TENANT/ID: the bus compares the ids of all publishers to a stream, and what one
has used would make it drop the event of another.`,
		Example: `  orderbridge publish order.json
  orderbridge publish --subject orders.acme.OrderAccepted.4711 --id 8f14e45f order.json
  generate-orders | orderbridge publish --id may-import -`,
		Args:    args(0, 1, "one file at most, or - for stdin"),
		PreRunE: func(*cobra.Command, []string) error { return checkSubject(subject) },
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			path := "-"
			if len(args) == 1 {
				path = args[0]
			}
			data, err := readInput(cmd, path)
			if err != nil {
				return err
			}
			events, err := splitEvents(data)
			if err != nil {
				return fmt.Errorf("%s: %w; nothing was published", named(path), err)
			}
			result, err := s.publish(ctx, cmd, subject, ownID(s.cfg, subject, id), events)
			if err != nil {
				return err
			}
			if format.data() {
				return printData(cmd, result)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "published %s to %s", count(result.Published, "event"), subject)
			if result.Duplicates > 0 {
				fmt.Fprintf(cmd.OutOrStdout(), ", %d known already", result.Duplicates)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), " (stream %s, last sequence %d)\n", result.Stream, result.Last)
			return err
		}),
	}
	cmd.Flags().StringVar(&subject, "subject", "orders", "subject to publish to")
	cmd.Flags().StringVar(&id, "id", "", "id of the event, by which the bus drops repeats")
	format.register(cmd, "text", "json")
	return cmd
}

// ownID is the id as it is sent: the tenant of the subject before it.
func ownID(cfg *config.Config, subject, id string) string {
	d := event.Decoder{SubjectLayout: cfg.SubjectLayout, TenantSubjects: cfg.TenantSubjects}
	tenant := d.Decode(&event.Message{Subject: subject}).Tenant
	if id == "" || tenant == "" || strings.HasPrefix(id, tenant+"/") {
		return id
	}
	return tenant + "/" + id
}

// checkSubject refuses what no event can be published to.
func checkSubject(subject string) error {
	tokens := strings.Split(subject, ".")
	bad := strings.ContainsAny(subject, " \t\r\n") || slices.Contains(tokens, "") || slices.Contains(tokens, "*") ||
		slices.Contains(tokens, ">")
	if bad {
		return usagef("--subject: %q is not a subject to publish to; it has no spaces, wildcards or empty parts, as in orders.acme.OrderAccepted.4711", subject)
	}
	return nil
}

// named is how messages call an input.
func named(path string) string {
	if path == "-" {
		return "stdin"
	}
	return path
}

// splitEvents finds the events of an input and makes sure that all are JSON.
// An input whose first line is not a document by itself is one document.
func splitEvents(data []byte) ([][]byte, error) {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return nil, errors.New("there is no event in it")
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if json.Valid(data) || !json.Valid(first) {
		if err := checkEvent(data, 1); err != nil {
			return nil, err
		}
		return [][]byte{data}, nil
	}
	var events [][]byte
	number := 0
	for line := range bytes.SplitSeq(data, []byte("\n")) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := checkEvent(line, number); err != nil {
			return nil, err
		}
		events = append(events, line)
	}
	return events, nil
}

// checkEvent makes sure that data, whose first line has the given number, is JSON.
func checkEvent(data []byte, line int) error {
	var event json.RawMessage
	err := json.Unmarshal(data, &event)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		line += bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
	}
	return fmt.Errorf("line %d is not JSON: %w", line, err)
}

func (s *session) publish(ctx context.Context, cmd *cobra.Command, subject, id string, events [][]byte) (publishResult,
	error) {
	result := publishResult{Subject: subject, Stream: s.names.Stream}
	p := newProgress(cmd, "published", len(events))
	defer p.done()
	for i, event := range events {
		options := []jetstream.PublishOpt{jetstream.WithExpectStream(s.names.Stream)}
		switch {
		case id != "" && len(events) > 1:
			options = append(options, jetstream.WithMsgID(id+"."+strconv.Itoa(i+1)))
		case id != "":
			options = append(options, jetstream.WithMsgID(id))
		}
		ack, err := s.publishOne(ctx, &nats.Msg{Subject: subject, Data: event}, options)
		if err != nil {
			return result, fmt.Errorf("publish to %q: %w; %d of %d events were published", subject, err, i, len(events))
		}
		result.Last = max(result.Last, ack.Sequence)
		if ack.Duplicate {
			result.Duplicates++
		} else {
			result.Published++
		}
		p.at(i + 1)
	}
	return result, nil
}

func (s *session) publishOne(ctx context.Context, msg *nats.Msg, options []jetstream.PublishOpt) (*jetstream.PubAck,
	error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	ack, err := s.js.PublishMsg(ctx, msg, options...)
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		return nil, errors.New("no stream hears that subject; choose one with --subject, or start `orderbridge serve`, which makes the stream")
	case errors.As(err, &api) && api.ErrorCode == codeOtherStream:
		return nil, fmt.Errorf("that subject belongs to another stream than %s; choose one with --subject, or set ORDERBRIDGE_STREAM", s.names.Stream)
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, fmt.Errorf("an event has %d bytes, the server takes %d", len(msg.Data), s.nc.MaxPayload())
	case errors.Is(err, nats.ErrBadSubject):
		return nil, errors.New("that is not a subject; it has no spaces, wildcards or empty parts")
	case err != nil:
		return nil, explain(err)
	}
	return ack, nil
}

// progress tells on a terminal how far long work has come.
type progress struct {
	cmd   *cobra.Command
	verb  string
	total int
	next  time.Time
	shown bool
}

func newProgress(cmd *cobra.Command, verb string, total int) *progress {
	p := &progress{cmd: cmd, verb: verb, total: total}
	if terminal(cmd.ErrOrStderr()) {
		p.next = time.Now().Add(time.Second)
	}
	return p
}

func (p *progress) at(n int) {
	if p.next.IsZero() || time.Now().Before(p.next) {
		return
	}
	p.next, p.shown = time.Now().Add(time.Second/4), true
	fmt.Fprintf(os.Stderr, "\r%s %d of %d", p.verb, n, p.total)
}

func (p *progress) done() {
	if p.shown {
		fmt.Fprint(os.Stderr, "\r\x1b[K") // not through the net of safeOutput
	}
}

// count is "1 event", "2 events".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
