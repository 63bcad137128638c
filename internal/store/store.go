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
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/internal/msgget"
)

// Options say how the streams and buckets are called and how they are made
// where they are absent.
type Options struct {
	Prefix        string   // of everything of ours, may be empty
	Stream        string   // source stream, "ORDERS"
	Subjects      []string // of the source stream, when it is made
	Subscriptions string   // bucket of the records, "subscriptions"
	Replicas      int      // of what is made; 0: 3 where the server is clustered, else 1
	OwedBytes     int64    // size of the ledger, bytes; 0: 64 MiB
	Storage       int64    // what all streams together may take, bytes; 0: enough
	// RetrySpan is the sum of the default retry schedule: what the source
	// stream must at least keep.
	RetrySpan time.Duration
	Logger    *slog.Logger // nil: slog.Default()
}

// Names of the streams and buckets, prefix included.
type Names = bridge.Names

// Names under the prefix.
func (o Options) Names() Names { return bridge.NewNames(o.Prefix, o.Stream, o.Subscriptions) }

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

const (
	apiTimeout        = 5 * time.Second
	defaultOwedBytes  = 64 << 20
	deadLetterBytes   = 1 << 30
	deadLetterAge     = 30 * 24 * time.Hour
	alertBytes        = 64 << 20
	alertAge          = 30 * 24 * time.Hour
	sourceAge         = 7 * 24 * time.Hour
	sourceDuplicates  = 10 * time.Minute
	bucketDuplicates  = 2 * time.Minute // repeats of a write stay recognizable that long
	subscriptionsKeep = 64
)

// Ensure makes the streams and buckets that are absent and checks those that
// are present. The error says that the bus could not be asked (JetStream off,
// no permission, unreachable); what does not fit is among the findings.
func Ensure(ctx context.Context, js jetstream.JetStream, o Options) (Names, []Finding, error) {
	e := ensurer{js: js, o: o, n: o.Names()}
	if err := e.account(ctx); err != nil {
		return e.n, nil, err
	}
	for _, step := range []func(context.Context) error{
		e.source, e.subscriptions, e.status, e.owed, e.lease, e.deadLetters, e.alerts,
	} {
		if err := step(ctx); err != nil {
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
	found    []Finding
}

func (e *ensurer) say(s Severity, subject, format string, args ...any) {
	e.found = append(e.found, Finding{s, subject, fmt.Sprintf(format, args...)})
}

// account tells whether JetStream can be used at all, and how many replicas it can keep.
func (e *ensurer) account(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err := e.js.AccountInfo(ctx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("JetStream is not enabled on the server at %s: start it with -js or a jetstream block", e.js.Conn().ConnectedUrlRedacted())
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("JetStream is not enabled for this account: set jetstream: enabled in the account, or use another one")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer from the JetStream API on $JS.API.INFO within %s: the user may lack permission to publish to $JS.API.> or to subscribe to _INBOX.>, or the server is busy", apiTimeout)
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
	return nil
}

// stream returns what is there; if nothing is, it makes it and returns nil.
func (e *ensurer) stream(ctx context.Context, subject string, cfg jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*apiTimeout)
	defer cancel()
	s, err := e.js.Stream(ctx, cfg.Name)
	if err == nil {
		return s.CachedInfo(), nil
	}
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("read %s (stream %q): %w", subject, cfg.Name, err)
	}
	cfg.Replicas = e.replicas
	cfg.Storage = jetstream.FileStorage
	if _, err = e.js.CreateStream(ctx, cfg); errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		// Another replica was faster, with other settings.
		if s, err = e.js.Stream(ctx, cfg.Name); err == nil {
			return s.CachedInfo(), nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make %s (stream %q, %d replicas): %w", subject, cfg.Name, e.replicas, err)
	}
	if cfg.MaxBytes > 0 && e.sizes() != sizesFor(0, e.o.OwedBytes) {
		e.say(Note, subject, "made, %d replicas, %d MiB: smaller than usual, since all streams together may take only %d MiB", e.replicas, cfg.MaxBytes>>20, e.o.Storage>>20)
		return nil, nil
	}
	e.say(Note, subject, "made, %d replicas", e.replicas)
	return nil, nil
}

func (e *ensurer) source(ctx context.Context) error {
	subject := "stream " + e.n.Stream
	info, err := e.stream(ctx, subject, jetstream.StreamConfig{
		Name: e.n.Stream, Description: "order change events", Subjects: e.o.Subjects,
		Retention: jetstream.LimitsPolicy, MaxAge: sourceAge, Duplicates: sourceDuplicates, AllowDirect: true,
	})
	if overlap := new(jetstream.APIError); errors.As(err, &overlap) && overlap.ErrorCode == 10065 {
		holder := ""
		for _, s := range e.o.Subjects {
			if name, err := e.js.StreamNameBySubject(ctx, s); err == nil {
				holder = name
				break
			}
		}
		e.say(Error, subject, "stream %q holds the subjects %s already: set ORDERBRIDGE_STREAM=%s to use it, or ORDERBRIDGE_SUBJECTS to subjects that no stream holds", holder, strings.Join(e.o.Subjects, ", "), holder)
		return nil
	}
	if err != nil || info == nil {
		return err
	}
	e.found = append(e.found, checkSource(info, e.o)...)
	return nil
}

// checkSource says what a source stream lacks; it is the user's and is never altered.
func checkSource(info *jetstream.StreamInfo, o Options) []Finding {
	c, subject := info.Config, "stream "+info.Config.Name
	var found []Finding
	say := func(s Severity, format string, args ...any) {
		found = append(found, Finding{s, subject, fmt.Sprintf(format, args...)})
	}
	if c.Retention != jetstream.LimitsPolicy {
		say(Error, "its retention is %s: the server would delete events that subscriptions still have to read again. Make a limits stream that sources from it, e.g. `nats stream add %s_LOG --source %s --retention limits --max-age 7d`, and set ORDERBRIDGE_STREAM=%s_LOG",
			strings.ToLower(c.Retention.String()), c.Name, c.Name, c.Name)
	}
	if c.MaxAge > 0 && o.RetrySpan > 0 && c.MaxAge < o.RetrySpan {
		say(Warning, "it keeps events for %s, the default retry schedule takes %s: what an endpoint that is down for longer is still owed becomes dead letters. Run `nats stream edit %s --max-age 7d`", c.MaxAge, o.RetrySpan, c.Name)
	}
	if c.MaxMsgsPerSubject > 0 {
		say(Warning, "it keeps only %d messages of each subject: older changes of an order vanish unseen while they wait. Run `nats stream edit %s --max-msgs-per-subject=-1`", c.MaxMsgsPerSubject, c.Name)
	}
	if c.MaxMsgs > 0 && c.Discard == jetstream.DiscardOld {
		say(Warning, "it keeps at most %d messages: when it is full, the oldest vanish, delivered or not. Run `nats stream edit %s --max-msgs=-1` or watch how full it is", c.MaxMsgs, c.Name)
	}
	if c.Discard == jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0) {
		say(Warning, "it refuses new events when it is full (discard new): the bridge removes nothing from it, only its limits do. Run `nats stream edit %s --discard old`, or make sure that publishers handle refusals", c.Name)
	}
	if c.NoAck {
		say(Warning, "it confirms nothing to publishers (no_ack): events can be lost before they are stored. Run `nats stream edit %s --ack`", c.Name)
	}
	if c.Sealed {
		say(Warning, "it is sealed: no event can be added to it")
	}
	if c.Storage == jetstream.MemoryStorage {
		say(Warning, "it is kept in memory: a restart of the server loses events that are owed. Copy it into a file stream that sources from it")
	}
	return found
}

func (e *ensurer) sizes() sizes { return sizesFor(e.o.Storage, e.o.OwedBytes) }

func bucketConfig(name, description string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: bucketStream(name), Description: description, Subjects: []string{bucketSubject(name, ">")},
		MaxMsgsPerSubject: 1, MaxBytes: -1, MaxMsgs: -1, MaxMsgSize: -1, MaxConsumers: -1,
		Discard: jetstream.DiscardNew, Duplicates: bucketDuplicates,
		AllowRollup: true, DenyDelete: true, AllowDirect: true,
	}
}

func bucketStream(bucket string) string { return "KV_" + bucket }

// bucketSubject is under what the entry lies in the stream of its bucket.
func bucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// writeSubject is where the entry is published: a bucket in another JetStream
// domain, or behind an API prefix, is not reached under its own subject.
func writeSubject(js jetstream.JetStream, bucket, key string) string {
	if api := msgget.APIPrefix(js); api != jetstream.DefaultAPIPrefix {
		return api + bucketSubject(bucket, key)
	}
	return bucketSubject(bucket, key)
}

func (e *ensurer) subscriptions(ctx context.Context) error {
	subject := "bucket " + e.n.Subscriptions
	cfg := bucketConfig(e.n.Subscriptions, "orderbridge: subscription records")
	cfg.MaxMsgsPerSubject = subscriptionsKeep
	info, err := e.stream(ctx, subject, cfg)
	if err != nil || info == nil {
		return err
	}
	c := info.Config
	if c.MaxMsgsPerSubject > 0 && c.MaxMsgsPerSubject < subscriptionsKeep {
		e.say(Warning, subject, "its history is %d: changes of a record that follow one another while the bridge is away are seen only in their last %d states. Run `nats stream edit %s --max-msgs-per-subject=%d`", c.MaxMsgsPerSubject, c.MaxMsgsPerSubject, c.Name, subscriptionsKeep)
	}
	if c.MaxAge > 0 {
		e.say(Warning, subject, "its records expire after %s (an expired record is not a deletion, but a restart does not find it any more). Run `nats stream edit %s --max-age 0`", c.MaxAge, c.Name)
	}
	return nil
}

// state makes or checks a bucket that only the leader writes.
func (e *ensurer) state(ctx context.Context, name, description string, maxBytes int64) error {
	subject := "bucket " + name
	cfg := bucketConfig(name, description)
	cfg.MaxBytes = maxBytes
	cfg.AllowMsgTTL = true // removal markers go by themselves
	info, err := e.stream(ctx, subject, cfg)
	if err != nil || info == nil {
		return err
	}
	c := info.Config
	if c.Discard != jetstream.DiscardNew {
		e.say(Error, subject, "it drops old entries when it is full: what is owed would be forgotten. Run `nats stream edit %s --discard new`", c.Name)
	}
	if c.MaxAge > 0 {
		e.say(Error, subject, "its entries expire after %s: what is owed would be forgotten. Run `nats stream edit %s --max-age 0`", c.MaxAge, c.Name)
	}
	if c.Duplicates < bucketDuplicates {
		e.say(Error, subject, "its duplicate window is %s: a repeated write could be stored twice. Run `nats stream edit %s --dupe-window 2m`", c.Duplicates, c.Name)
	}
	if c.MaxMsgsPerSubject > 1 {
		e.say(Warning, subject, "its history is %d, 1 is enough: it fills %d times faster. Run `nats stream edit %s --max-msgs-per-subject=1`", c.MaxMsgsPerSubject, c.MaxMsgsPerSubject, c.Name)
	}
	if !c.AllowMsgTTL {
		e.say(Warning, subject, "it allows no TTL on messages: the markers of removed entries stay and fill it. Run `nats stream edit %s --allow-msg-ttl`", c.Name)
	}
	if c.Storage == jetstream.MemoryStorage {
		e.say(Error, subject, "it is kept in memory: a restart of the server would forget what is owed. Delete it while no bridge runs; it is made anew")
	}
	return nil
}

func (e *ensurer) status(ctx context.Context) error {
	return e.state(ctx, e.n.Status, "orderbridge: state of each subscription", -1)
}

func (e *ensurer) owed(ctx context.Context) error {
	return e.state(ctx, e.n.Owed, "orderbridge: what is owed", e.sizes().owed)
}

func (e *ensurer) lease(ctx context.Context) error {
	return e.state(ctx, e.n.Lease, "orderbridge: which replica leads", -1)
}

func (e *ensurer) deadLetters(ctx context.Context) error {
	return e.ours(ctx, jetstream.StreamConfig{
		Name: e.n.DeadLetters, Description: "orderbridge: deliveries that were given up",
		Subjects: []string{e.n.DeadLetterSubject + ".>"}, MaxAge: deadLetterAge, MaxBytes: e.sizes().deadLetters, AllowDirect: true,
	})
}

func (e *ensurer) alerts(ctx context.Context) error {
	return e.ours(ctx, jetstream.StreamConfig{
		Name: e.n.Alerts, Description: "orderbridge: what operators want to be told",
		Subjects: []string{e.n.AlertSubject + ".>"}, MaxAge: alertAge, MaxBytes: e.sizes().alerts,
	})
}

// ours makes a stream that only keeps what it gets.
func (e *ensurer) ours(ctx context.Context, c jetstream.StreamConfig) error {
	subject := "stream " + c.Name
	c.Retention, c.Discard, c.Duplicates = jetstream.LimitsPolicy, jetstream.DiscardOld, bucketDuplicates
	info, err := e.stream(ctx, subject, c)
	if err != nil || info == nil {
		return err
	}
	if info.Config.Retention != jetstream.LimitsPolicy {
		e.say(Error, subject, "its retention is %s, limits is needed: delete it or use another prefix", strings.ToLower(info.Config.Retention.String()))
	}
	return nil
}
