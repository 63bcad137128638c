package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/boottime"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// follower reads all messages of a bucket, in order, and goes on with what
// comes, level-triggered: it does not rely on hearing of every change but holds
// what it has read against what the stream's leader says, after each reconnect
// and every two seconds.
type follower struct {
	js     jetstream.JetStream
	bucket string
	key    string // key or ">"
	bare   bool   // headers are enough
	log    *slog.Logger

	each     func(m *event.Message, created int64) // a message may come twice
	caughtUp func()                                // once, when all that was there has been read
	missing  func(bool)                            // the bucket is gone, is there (again)
	began    func(created int64)                   // what comes is told from the first, whatever was before; may be nil
	most     time.Duration                         // it may be without contact; 0: as long as may be

	contact time.Duration // boot time: all that was there then has been read
	looked  struct {      // at the end, which has not been read yet
		at  time.Duration
		end uint64
	}

	created int64  // of the bucket that is being read, Unix nanoseconds
	seen    uint64 // all up to here has been read
	state   presence
	caught  bool
	told    time.Time // that it cannot be read
	few     bool      // told that it is read one by one
}

type presence int

const (
	unknown presence = iota
	there
	gone
)

var (
	errRecreated  = errors.New("bucket was recreated")
	errOutOfTouch = errors.New("what was removed meanwhile may have left no trace: it is read again")
)

// run returns when ctx ends or the connection is closed for good.
func (f *follower) run(ctx context.Context) error {
	nc := f.js.Conn()
	status := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(status)
	for ctx.Err() == nil {
		if nc.IsClosed() {
			return fmt.Errorf("watch bucket %q: %w", f.bucket, nats.ErrConnectionClosed)
		}
		if err := f.session(ctx, status); err != nil && ctx.Err() == nil {
			f.complain(err)
			select {
			case <-ctx.Done():
			case <-status:
			case <-time.After(limits.FollowCheck / 4):
			}
		}
	}
	return ctx.Err()
}

// check asks the leader which bucket it is that stands there now, and how far
// it goes. A recreated bucket is read from its beginning.
func (f *follower) check(ctx context.Context) (last uint64, err error) {
	at := boottime.Clock{}.Boot()
	if last, err = f.end(ctx); err != nil {
		return last, err
	}
	if f.most > 0 && f.contact > 0 && at-f.contact > f.most {
		f.contact, f.looked.end = 0, 0
		f.begin(f.created)
		return 0, errOutOfTouch
	}
	switch {
	case f.contact == 0:
		f.contact = at // of what is removed from now on the marker is still there
	case last <= f.seen:
		f.contact, f.looked.end = at, 0
	case f.looked.end == 0:
		f.looked.at, f.looked.end = at, last
	}
	return last, nil
}

// read takes note of how far was read.
func (f *follower) read(seq uint64) {
	f.seen = max(f.seen, seq)
	if f.looked.end > 0 && f.seen >= f.looked.end {
		f.contact, f.looked.end = f.looked.at, 0
	}
}

func (f *follower) begin(created int64) {
	f.created, f.seen = created, 0
	if f.began != nil {
		f.began(created)
	}
}

func (f *follower) end(ctx context.Context) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.FollowCheck)
	defer cancel()
	info, err := msgget.Info(ctx, f.js, bucketStream(f.bucket))
	if err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) && f.state != gone {
			f.state = gone
			f.missing(true)
		}
		return 0, err
	}
	if created := info.Created.UnixNano(); created != f.created {
		if f.created != 0 {
			f.log.Warn("bucket was recreated", "bucket", f.bucket, "created", info.Created)
		}
		f.contact, f.looked.end = 0, 0
		f.begin(created)
	}
	if f.state != there {
		f.state = there
		f.missing(false)
	}
	if info.State.LastSeq <= f.seen {
		return f.seen, nil
	}
	// The last sequence may have no message (any more): what is still to be
	// read ends at the last message that matches.
	m, err := msgget.Last(ctx, f.js, bucketStream(f.bucket), storedSubject(f.key))
	switch {
	case err != nil && !errors.Is(err, protocol.ErrNotFound):
		return 0, err
	case (err != nil || m.Seq < info.State.LastSeq) && !msgget.Settled(info):
		return 0, fmt.Errorf("bucket %q: %w for certain: a new one was elected a few seconds ago", f.bucket,
			msgget.ErrNoLeader)
	case err != nil:
		return f.seen, nil
	}
	return m.Seq, nil
}

func (f *follower) catchUp(target uint64) {
	if !f.caught && f.seen >= target {
		f.caught = true
		if f.caughtUp != nil {
			f.caughtUp()
		}
	}
}

// session reads through one consumer until anything about it is in doubt.
func (f *follower) session(ctx context.Context, status <-chan nats.Status) error {
	target, err := f.check(ctx)
	if err != nil {
		return err
	}
	f.catchUp(target)
	r := reading{follower: f, created: f.created, target: target,
		msgs: make(chan jetstream.Msg, 256), doubt: make(chan error, 1)}
	cons, err := f.consumer(ctx)
	if errorCode(err) == codeMaximumConsumers {
		return f.poll(ctx, status)
	}
	if err != nil {
		return err
	}
	defer f.drop(cons)
	// A consumer dies with its bucket: if the bucket is still the same one now,
	// all that the consumer ever delivers is from it.
	if _, err := r.check(ctx); err != nil {
		return err
	}
	stop, err := r.consume(cons)
	if err != nil {
		return err
	}
	defer stop()
	tick := time.NewTicker(limits.FollowCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-status:
			return fmt.Errorf("connection %s", s)
		case err = <-r.doubt:
		case m := <-r.msgs:
			err = r.hear(m)
		case <-tick.C:
			err = r.compare(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// reading is what a follower reads through one consumer, of one bucket.
type reading struct {
	*follower
	created   int64
	target    uint64 // caught up once that is read
	msgs      chan jetstream.Msg
	doubt     chan error
	delivered uint64
	behind    bool // at the look before nothing had come of what is there
}

// consume has the consumer's messages come by msgs, until stop is called.
func (r *reading) consume(cons jetstream.Consumer) (stop func(), err error) {
	done := make(chan struct{})
	cc, err := cons.Consume(func(m jetstream.Msg) {
		select {
		case r.msgs <- m:
		case <-done:
		}
	}, jetstream.PullMaxMessages(batch(cons.CachedInfo(), 500)), jetstream.PullHeartbeat(time.Second),
		jetstream.PullExpiry(10*time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			select {
			case r.doubt <- err:
			default:
			}
		}))
	if err != nil {
		return nil, err
	}
	return func() { cc.Stop(); close(done) }, nil
}

// check is the follower's, and an error if the bucket is another one by now.
func (r *reading) check(ctx context.Context) (last uint64, err error) {
	last, err = r.follower.check(ctx)
	if err == nil && r.follower.created != r.created {
		err = errRecreated
	}
	return last, err
}

// hear takes a message that is the next one.
func (r *reading) hear(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if r.delivered++; meta.Sequence.Consumer != r.delivered {
		return fmt.Errorf("message %d of the consumer came where %d was due", meta.Sequence.Consumer, r.delivered)
	}
	r.each(&event.Message{Seq: meta.Sequence.Stream, Time: meta.Timestamp, Subject: m.Subject(),
		Header: m.Headers(), Data: m.Data()}, r.created)
	r.read(meta.Sequence.Stream)
	r.catchUp(r.target)
	r.behind = false
	return nil
}

// compare holds what was read against what the leader has.
func (r *reading) compare(ctx context.Context) error {
	last, err := r.check(ctx)
	if err != nil {
		return err
	}
	if last > r.seen && len(r.msgs) == 0 {
		if r.behind {
			return fmt.Errorf("read up to %d, the bucket goes up to %d", r.seen, last)
		}
		r.behind = true
	}
	r.catchUp(r.target)
	return nil
}

func (f *follower) consumer(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	cfg := jetstream.ConsumerConfig{
		FilterSubjects: []string{storedSubject(f.key)},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckNonePolicy,
		MemoryStorage:  true, Replicas: 1, InactiveThreshold: 30 * time.Second,
		HeadersOnly: f.bare,
	}
	if f.seen > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.seen+1
	}
	return f.js.CreateConsumer(ctx, bucketStream(f.bucket), cfg)
}

// drop deletes the consumer if the bus is there; else the server does after a while.
func (f *follower) drop(cons jetstream.Consumer) {
	if !f.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), limits.FollowCheck)
	defer cancel()
	_ = f.js.DeleteConsumer(ctx, bucketStream(f.bucket), cons.CachedInfo().Name)
}

func (f *follower) complain(err error) {
	level := slog.LevelDebug
	if now := time.Now(); f.js.Conn().IsConnected() && !f.caught && now.Sub(f.told) >= limits.FollowSayAgain {
		if !f.told.IsZero() {
			level = slog.LevelWarn
		}
		f.told = now
	}
	f.log.Log(context.Background(), level, "bucket not readable now", "bucket", f.bucket, "error", err)
}

// poll reads without a consumer, where the stream or its account allows no
// further one: what a check has found is read one by one.
func (f *follower) poll(ctx context.Context, status <-chan nats.Status) error {
	if !f.few {
		f.few = true
		f.log.Warn("the bucket is asked every two seconds and read entry by entry, since it or its account allows no further consumer (max_consumers)", "bucket", f.bucket)
	}
	tick := time.NewTicker(limits.FollowCheck)
	defer tick.Stop()
	for {
		target, err := f.check(ctx)
		if err != nil {
			return err
		}
		for f.seen < target {
			m, err := msgget.Next(ctx, f.js, bucketStream(f.bucket), f.seen+1, storedSubject(f.key))
			switch {
			case errors.Is(err, protocol.ErrNotFound):
				f.seen = target
				continue
			case err != nil:
				return err
			}
			f.each(m, f.created)
			f.read(m.Seq)
		}
		f.catchUp(target)
		select {
		case <-ctx.Done():
			return nil
		case s := <-status:
			return fmt.Errorf("connection %s", s)
		case <-tick.C:
		}
	}
}

// batch is how many messages may be asked for at once.
func batch(info *jetstream.ConsumerInfo, want int) int {
	if most := info.Config.MaxRequestBatch; most > 0 {
		return min(want, most)
	}
	return want
}

// pullBytes asks for so many bytes at once, and for no more messages than may
// be asked for.
func pullBytes(info *jetstream.ConsumerInfo, bytes int) jetstream.PullMessagesOpt {
	if most := info.Config.MaxRequestBatch; most > 0 {
		return jetstream.PullMaxMessagesWithBytesLimit(most, bytes)
	}
	return jetstream.PullMaxBytes(bytes)
}
