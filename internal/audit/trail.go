package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
	"orderbridge/internal/store"
)

const (
	complainAll = time.Minute

	codeWrongLastSequence = 10071
)

// place is how far the records have entries.
type place struct {
	bucket   int64
	revision uint64
	last     uint64 // sequence of the audit's stream
	old      uint64 // what was there when the audit began: much of it is history that went long ago
}

// trail writes an entry for each revision, while this bridge leads.
func (a *Auditor) trail(ctx context.Context) {
	wait := time.Second
	for a.await(ctx) {
		began := time.Now()
		lead, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			for a.o.Leading() {
				if !sleep(lead, limits.AuditCheck) {
					return
				}
			}
		}()
		if err := a.follow(lead); err != nil && lead.Err() == nil {
			a.complain("the changes of records cannot be audited at present", err)
			if time.Since(began) > complainAll {
				wait = time.Second
			}
			sleep(lead, wait)
			wait = min(2*wait, complainAll)
		}
		cancel()
	}
}

// await returns true once this bridge leads, false when ctx ends.
func (a *Auditor) await(ctx context.Context) bool {
	for !a.o.Leading() {
		if !sleep(ctx, limits.AuditCheck) {
			return false
		}
	}
	return ctx.Err() == nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

func (a *Auditor) follow(ctx context.Context) error {
	at, err := a.begin(ctx)
	if err != nil {
		return err
	}
	return a.records.Follow(ctx, at.bucket, at.revision, func(w store.Written) {
		if w.Bucket == at.bucket && w.Revision.Revision <= at.revision {
			return
		}
		a.record(ctx, at, w)
	})
}

// begin finds where the entries of the records end. Where there are none yet, it
// says so in a first one.
func (a *Auditor) begin(ctx context.Context) (*place, error) {
	at, err := a.look(ctx)
	if err != nil || at.bucket != 0 {
		return at, err
	}
	created, last, err := a.records.State(ctx)
	if err != nil {
		return nil, err
	}
	at.bucket, at.old = created, last
	if last > limits.AuditBackfill {
		at.revision = last
	}
	d := Data{Action: "begins", Bucket: at.bucket, Revision: at.revision,
		Who:  Who{Via: "bridge", Name: a.o.Holder, Vouched: byBridge},
		Text: fmt.Sprintf("the audit of the records begins: what was changed up to revision %d has no entry", at.revision)}
	e := newEntry(fmt.Sprintf("%d-%d-begins", at.bucket, at.last), a.o.Source, time.Now(), d)
	seq, err := a.publish(ctx, "record", e, &at.last)
	if err != nil {
		return nil, err
	}
	at.last = seq
	return at, nil
}

// look reads the newest entry of a record; at.bucket is 0 if there is none.
func (a *Auditor) look(ctx context.Context) (*place, error) {
	info, err := msgget.Info(ctx, a.o.JetStream, a.o.Names.Audit)
	if err != nil {
		return nil, err
	}
	at := &place{last: info.State.LastSeq}
	m, err := msgget.Last(ctx, a.o.JetStream, a.o.Names.Audit, a.o.Names.AuditSubject+".record.>")
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return at, nil
	case err != nil:
		return nil, err
	}
	var e Entry
	if err := json.Unmarshal(m.Data, &e); err == nil {
		at.bucket, at.revision = e.Data.Bucket, e.Data.Revision
	}
	at.last = max(at.last, m.Seq)
	return at, nil
}

// record stores the entry of a revision, unless another leader has.
func (a *Auditor) record(ctx context.Context, at *place, w store.Written) {
	e := a.entryOf(ctx, w)
	if first := at.revision + 1; w.Bucket == at.bucket && w.Revision.Revision > max(first, at.old+1) {
		e.missed(max(first, at.old+1), w.Revision.Revision-1)
	}
	for ctx.Err() == nil {
		seq, err := a.publish(ctx, "record", e, &at.last)
		if err == nil {
			*at = place{w.Bucket, w.Revision.Revision, seq, at.old}
			return
		}
		if errorCode(err) != codeWrongLastSequence {
			a.complain("a change of a record cannot be audited yet", err)
			sleep(ctx, time.Second)
		}
		now, err := a.look(ctx)
		if err != nil {
			continue
		}
		at.last = now.last
		if now.bucket == w.Bucket && now.revision >= w.Revision.Revision {
			at.bucket, at.revision = now.bucket, now.revision
			return
		}
	}
}

// entryOf tells what a revision has changed, and who made it.
func (a *Auditor) entryOf(ctx context.Context, w store.Written) *Entry {
	before, known := a.before(ctx, w)
	a.former.put(w)
	d := Data{
		Action: action(before.Revision, w.Revision, known), Subscription: cut(w.Key, 128),
		Revision: w.Revision.Revision, Bucket: w.Bucket,
		Former: before.Revision.Revision, Tenant: cut(gjson.GetBytes(w.Value, "tenant").String(), 128),
	}
	if w.Deleted {
		d.Tenant = cut(gjson.GetBytes(before.Value, "tenant").String(), 128)
	}
	d.Members, d.More = changes(before.Value, w.Value)
	if !w.Deleted && flatten(w.Value) == nil {
		d.Details = map[string]string{"record": "it is not a JSON object"}
	}
	d.Who = a.who(ctx, w, before.Revision.Revision)
	d.Text = summary(d)
	return newEntry(fmt.Sprintf("%d-%d", w.Bucket, w.Revision.Revision), a.o.Source, w.Time, d)
}

// missed tells of revisions that were gone before they were read: many puts while
// nobody led, or a writer whose writes are removed at once (a purge, a rollup).
func (e *Entry) missed(first, last uint64) {
	which := fmt.Sprintf("revision %d", first)
	if last > first {
		which = fmt.Sprintf("revisions %d to %d", first, last)
	}
	if e.Data.Details == nil {
		e.Data.Details = map[string]string{}
	}
	e.Data.Details["missing"] = which
	e.Data.Text = cut(e.Data.Text, 400) + "; " + which + " of the records went before they could be audited"
}

// who finds out who made a revision.
func (a *Auditor) who(ctx context.Context, w store.Written, former uint64) Who {
	who := Who{Via: "bus"}
	deed := store.Deed{On: w.Key, Delete: w.Deleted, Expect: former, Data: w.Value}
	actor, known, told := a.o.Key.By(w.Header, deed)
	if told && !known && w.Header.Get("Orderbridge-By-Mac") != "" && a.o.Key.Stale() {
		if err := a.o.Key.Load(ctx, a.o.JetStream, a.o.Names); err == nil {
			actor, known, told = a.o.Key.By(w.Header, deed)
		}
	}
	if told {
		who.say(actor, known)
	}
	subject := "$KV." + a.o.Names.Subscriptions + "." + w.Key
	user, seen := a.witness.of(subject, w.Header, w.Value)
	for end := time.Now().Add(limits.AuditWitnessTime); !seen && !known && a.witness.active &&
		time.Since(w.Time) < limits.AuditFresh && time.Now().Before(end); {
		if !sleep(ctx, 20*time.Millisecond) {
			break
		}
		user, seen = a.witness.of(subject, w.Header, w.Value)
	}
	who.told(user)
	return who
}

// before is the revision that w replaces.
func (a *Auditor) before(ctx context.Context, w store.Written) (store.Written, bool) {
	if held, ok := a.former.get(w.Key, w.Bucket); ok && held.Revision.Revision < w.Revision.Revision {
		return held, true
	}
	for ctx.Err() == nil {
		found, err := a.records.Before(ctx, w.Key, w.Revision.Revision)
		if err == nil {
			return found, true
		}
		if errors.Is(err, protocol.ErrNotFound) {
			break
		}
		sleep(ctx, time.Second)
	}
	return store.Written{}, false
}

// publish stores an entry; expect: only if that still is the stream's last sequence.
func (a *Auditor) publish(ctx context.Context, kind string, e *Entry, expect *uint64) (uint64, error) {
	body, err := e.encode()
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limits.AuditPublishTime)
	defer cancel()
	m := &nats.Msg{Subject: a.o.Names.AuditSubject + "." + kind + "." + token(e.Data.Subscription) + "." +
		token(e.Data.Action), Data: body,
		Header: nats.Header{"Content-Type": {"application/cloudevents+json"}, jetstream.MsgIDHeader: {e.ID}}}
	var opts []jetstream.PublishOpt
	if expect != nil {
		opts = append(opts, jetstream.WithExpectLastSequence(*expect))
		if *expect == 0 { // the client leaves a zero out
			opts = nil
			m.Header.Set("Nats-Expected-Last-Sequence", strconv.Itoa(0))
		}
	}
	ack, err := a.o.JetStream.PublishMsg(ctx, m, opts...)
	if err != nil {
		return 0, fmt.Errorf("store audit entry %s: %w", e.ID, err)
	}
	a.stored.Inc()
	return ack.Sequence, nil
}

func errorCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode
	}
	return 0
}
