package publishers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// AttemptLogOptions are what an AttemptLog is made from. Conn, Subject and Metrics
// are needed.
type AttemptLogOptions struct {
	Conn    *nats.Conn
	Subject string // entries go to <Subject>.<subscription>.<order token>
	// FailuresOnly leaves out what was delivered, filtered and superseded.
	FailuresOnly bool
	Replica      string // who writes, as entries say
	Metrics      prometheus.Registerer
	Logger       *slog.Logger // nil: slog.Default()
}

// AttemptLog implements bridge.AttemptLog on a stream: one message for each entry,
// its JSON. Entries are written in batches at a bounded pace, and only the last of a
// batch is confirmed. So at most one batch is under way, and what the bus does not
// take in time is dropped and counted: nothing waits for the log.
type AttemptLog struct {
	o       AttemptLogOptions
	queue   *attemptQueue
	batch   attemptBatch // of Run
	trouble atomic.Pointer[string]
	written prometheus.Counter
	dropped *prometheus.CounterVec
}

var _ bridge.AttemptLog = (*AttemptLog)(nil)

// Why entries are dropped.
const (
	dropFull    = "queue_full" // more than the pace of writing allows, for longer than the queue holds
	dropBus     = "bus"        // the bus did not confirm them
	dropStopped = "stopped"    // they could not be written before the program ended
	dropLarge   = "too_large"
)

// NewAttemptLog checks the options.
func NewAttemptLog(o AttemptLogOptions) (*AttemptLog, error) {
	switch {
	case o.Conn == nil || o.Metrics == nil:
		return nil, errors.New("option Conn or Metrics is missing")
	case !isSubject(o.Subject):
		return nil, fmt.Errorf("option Subject is %q, which is not a subject", o.Subject)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &AttemptLog{o: o, queue: newAttemptQueue(),
		written: prometheus.NewCounter(prometheus.CounterOpts{Name: "orderbridge_attempt_log_written_total",
			Help: "Entries that this bridge wrote to the delivery log."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orderbridge_attempt_log_dropped_total",
			Help: "Entries that are missing in the delivery log, by reason."}, []string{"reason"})}
	for _, reason := range []string{dropFull, dropBus, dropStopped, dropLarge} {
		l.dropped.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{l.written, l.dropped} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return l, nil
}

var entryBuffers = sync.Pool{New: func() any { return new([]byte) }}

// Log implements bridge.AttemptLog.
func (l *AttemptLog) Log(a *bridge.Attempt) {
	failed := true
	switch a.Outcome {
	case bridge.OutcomeDelivered, bridge.OutcomeFiltered, bridge.OutcomeSuperseded:
		if failed = false; l.o.FailuresOnly {
			return
		}
	}
	if !event.IsSafeID(a.Subscription) {
		return // a test of a record under a name that none can have
	}
	a.Replica = l.o.Replica
	buffer := entryBuffers.Get().(*[]byte)
	defer entryBuffers.Put(buffer)
	b := appendAttempt((*buffer)[:0], a)
	if len(b) > limits.AttemptEntryBytes {
		a.Request, a.Response = nil, nil
		b = appendAttempt(b[:0], a)
	}
	if cap(b) <= 2*limits.AttemptEntryBytes {
		*buffer = b
	}
	if len(b) > limits.AttemptEntryBytes {
		l.drop(dropLarge, 1)
		return
	}
	if !l.queue.add(entryOwner(a.Subscription, a.Tenant), a.Subscription, event.OrderToken(a.Order), b, failed) {
		l.drop(dropFull, 1)
	}
}

// Room implements bridge.AttemptLog.
func (l *AttemptLog) Room(subscription, tenant string) bool {
	if l.o.FailuresOnly {
		return false
	}
	if !l.queue.hasRoom(entryOwner(subscription, tenant), false) {
		l.drop(dropFull, 1)
		return false
	}
	return true
}

func (l *AttemptLog) drop(reason string, n int) {
	l.dropped.WithLabelValues(reason).Add(float64(n))
}

// Trouble says why entries are not written; "": they are.
func (l *AttemptLog) Trouble() string {
	if why := l.trouble.Load(); why != nil {
		return *why
	}
	return ""
}

// Run writes what comes until ctx ends; then what waits is written, for a bounded time.
func (l *AttemptLog) Run(ctx context.Context) {
	defer l.flush()
	for pause := limits.AttemptPace; ; {
		select {
		case <-ctx.Done():
			return
		case <-l.queue.signal:
		}
		for left := 1; left > 0; {
			if !sleep(ctx, pause) {
				return
			}
			if !l.o.Conn.IsConnected() {
				pause = limits.AttemptBusPause
				continue
			}
			left = l.queue.take(&l.batch, limits.AttemptBatch, limits.AttemptBatchBytes)
			if err := l.write(context.WithoutCancel(ctx)); err != nil {
				l.failed(err)
				pause = min(max(2*pause, limits.AttemptBusPause), limits.AttemptBusPauseMost)
				continue
			}
			l.works()
			pause = limits.AttemptPace
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// flush writes what waits when the program ends.
func (l *AttemptLog) flush() {
	ctx, cancel := context.WithTimeout(context.Background(), limits.AttemptFlush)
	defer cancel()
	for left := 1; left > 0; {
		left = l.queue.take(&l.batch, limits.AttemptBatch, limits.AttemptBatchBytes)
		if len(l.batch.entries) == 0 {
			return
		}
		if err := l.write(ctx); err != nil {
			l.drop(dropStopped, left)
			l.o.Logger.Warn("the last entries of the delivery log could not be written", "entries", left+len(l.batch.entries), "error", err)
			return
		}
	}
}

// write publishes a batch, and waits for the confirmation of its last entry.
func (l *AttemptLog) write(ctx context.Context) error {
	last := len(l.batch.entries) - 1
	for i, e := range l.batch.entries {
		subject, data := l.o.Subject+"."+e.subscription+"."+e.order, l.batch.data[e.begin:e.end]
		if i == last {
			return l.confirm(ctx, subject, data)
		}
		if err := l.o.Conn.Publish(subject, data); err != nil {
			l.drop(dropBus, last+1)
			return err
		}
	}
	return nil
}

func (l *AttemptLog) confirm(ctx context.Context, subject string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, limits.PublishTime)
	defer cancel()
	answer, err := l.o.Conn.RequestWithContext(ctx, subject, data)
	if err == nil {
		var ack struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err = json.Unmarshal(answer.Data, &ack); err == nil && ack.Error != nil {
			err = ack.Error
		}
	}
	n := len(l.batch.entries)
	if err != nil {
		l.drop(dropBus, n)
		return err
	}
	l.written.Add(float64(n))
	return nil
}

// failed says once that the bus takes no entries.
func (l *AttemptLog) failed(err error) {
	why := err.Error()
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		why = "no stream takes entries on " + l.o.Subject + ".>; it is made again within seconds where that is allowed"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		why = "no confirmation within " + limits.PublishTime.String() + ": the user may lack the permission to publish to " + l.o.Subject + ".> (deploy/nats/accounts.conf), or the bus is busy"
	}
	why = "the delivery log is not written, deliveries go on: " + why
	if l.trouble.Swap(&why) == nil {
		l.o.Logger.Warn(why)
	}
}

func (l *AttemptLog) works() {
	if l.trouble.Swap(nil) != nil {
		l.o.Logger.Info("the delivery log is written again")
	}
}
