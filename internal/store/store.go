// Package store is the bridge's state on the bus: it makes and checks the
// streams and buckets, and implements the ports bridge.Ledger, bridge.Lease
// and bridge.Records on them.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// Options say how the streams and buckets are called and how they are made
// where they are absent.
type Options struct {
	Prefix        string       // of everything of ours, may be empty
	Stream        string       // source stream, "ORDERS"
	Subjects      []string     // of the source stream, when it is made
	Subscriptions string       // bucket of the records, "subscriptions"
	Replicas      int          // of what is made; 0: 3 where the server is clustered, else 1
	OwedBytes     int64        // size of the ledger, bytes; 0: 64 MiB
	Storage       int64        // what all streams together may take, bytes; 0: enough
	NoAttempts    bool         // there is no delivery log, so its stream is not made
	Logger        *slog.Logger // nil: slog.Default()
}

// Names of the streams and buckets, prefix included.
type Names = record.Names

// Names under the prefix.
func (o Options) Names() Names { return record.NewNames(o.Prefix, o.Stream, o.Subscriptions) }

// Severity of a finding.
type Severity string

const (
	// Error: the bridge cannot work like this.
	Error Severity = "error"
	// Warning: it works, but a promise has a limit that one might not expect.
	Warning Severity = "warning"
	// Note: something was made.
	Note Severity = "note"
)

// Finding is one thing that Ensure has to say about a stream or bucket.
type Finding struct {
	Severity Severity
	Subject  string // "stream ORDERS", "bucket owed"
	Text     string // names the value and what to set or run
}

func (f Finding) String() string { return fmt.Sprintf("%s: %s: %s", f.Severity, f.Subject, f.Text) }

// Ensure makes the streams and buckets that are absent and checks those that
// are present. The error says why the bus cannot be asked or does not make what
// is needed (JetStream off, no permission, unreachable, a limit), and what to
// set; what is there and does not fit is among the findings.
func Ensure(ctx context.Context, js jetstream.JetStream, o Options) (Names, []Finding, error) {
	e := ensurer{js: js, o: o, n: o.Names()}
	if err := e.ask(ctx); err != nil {
		return e.n, nil, err
	}
	for _, a := range e.assets() {
		if err := e.ensure(ctx, a); err != nil {
			return e.n, e.found, err
		}
	}
	return e.n, e.found, nil
}

type ensurer struct {
	js       jetstream.JetStream
	o        Options
	n        Names
	replicas int
	account  allowance
	found    []Finding
}

func (e *ensurer) say(s Severity, subject, format string, args ...any) {
	e.found = append(e.found, Finding{s, subject, fmt.Sprintf(format, args...)})
}

// ask tells whether JetStream can be used at all, how many replicas it can
// keep and what the account allows.
func (e *ensurer) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	api := msgget.APIPrefix(e.js)
	info, err := e.js.AccountInfo(ctx)
	switch {
	case (errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, nats.ErrNoResponders)) &&
		api != jetstream.DefaultAPIPrefix:
		return fmt.Errorf("nobody answers on %sINFO: is ORDERBRIDGE_JETSTREAM_DOMAIN or ORDERBRIDGE_JETSTREAM_API_PREFIX right, and the server of that domain connected?", api)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled on the server at %s: start it with -js or a jetstream block, or name the domain that has it with ORDERBRIDGE_JETSTREAM_DOMAIN", e.js.Conn().ConnectedUrlRedacted())
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("JetStream is not enabled for this account: set jetstream: enabled in the account, or use another one")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from the JetStream API on %sINFO within %s: the user may lack permission to publish to %s> or to subscribe to _INBOX.>, or the server is busy", api, limits.JetStreamTime, api)
	case err != nil:
		return fmt.Errorf("ask JetStream for the account: %w", err)
	}
	e.replicas = e.o.Replicas
	if e.replicas <= 0 {
		e.replicas = 1
		if e.js.Conn().ConnectedClusterName() != "" {
			e.replicas = 3
		}
	}
	e.account = allowanceOf(info, e.replicas)
	if e.o.Storage > 0 {
		e.account.free = min(e.account.free, e.o.Storage)
	}
	return nil
}

// ensure makes the asset or checks what is there.
func (e *ensurer) ensure(ctx context.Context, a asset) error {
	info, err := e.stream(ctx, a)
	switch {
	case err != nil && a.optional:
		e.say(Warning, a.what, "it is not there, what it is for is only said in the log: %v", err)
		return nil
	case err != nil || info == nil:
		return err
	}
	e.found = append(e.found, a.check(info)...)
	return nil
}

func bucketStream(bucket string) string { return "KV_" + bucket }

// bucketSubject is under what the entry lies in the stream of its bucket.
func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// storedSubject is what reads an entry of a bucket: in a mirror, or a bucket
// with sources, entries keep the subjects of the bucket that they come from.
func storedSubject(key string) string { return "$KV.*." + key }

// keyOf is the key of an entry by its subject.
func keyOf(subject string) string {
	if _, rest, ok := strings.Cut(strings.TrimPrefix(subject, "$KV."), "."); ok && strings.HasPrefix(subject, "$KV.") {
		return rest
	}
	return subject
}

// writeSubject is where the entry is published: a bucket in another JetStream
// domain, or behind an API prefix, is not reached under its own subject.
func writeSubject(js jetstream.JetStream, bucket, key string) string {
	if api := msgget.APIPrefix(js); api != jetstream.DefaultAPIPrefix {
		return api + bucketSubject(bucket, key)
	}
	return bucketSubject(bucket, key)
}
