package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// Stream asks for the state of the source stream from time to time: how far behind
// the feed is, how near what is owed comes to the stream's limits, and how long
// the bus takes to answer.
type Stream struct {
	ask   func(context.Context) (*jetstream.StreamInfo, error)
	trips prometheus.Histogram
	bytes prometheus.Gauge

	mu    sync.Mutex
	info  *jetstream.StreamInfo // nil: none was got yet
	marks []mark                // where the stream ended, and when, oldest first
}

// mark is where the stream ended at a time.
type mark struct {
	at   time.Time
	last uint64
}

// NewStream registers what is told of the stream. ask asks the bus for its state.
func NewStream(r prometheus.Registerer, ask func(context.Context) (*jetstream.StreamInfo, error)) *Stream {
	s := &Stream{ask: ask,
		trips: prometheus.NewHistogram(histogram("orderbridge_bus_request_seconds",
			"How long the bus took to answer for the state of the source stream, which is asked for every few seconds.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5)),
		bytes: prometheus.NewGauge(prometheus.GaugeOpts{Name: "orderbridge_stream_bytes",
			Help: "Size of the source stream, as it was told last."})}
	r.MustRegister(s.trips, s.bytes)
	return s
}

// Run asks until ctx ends.
func (s *Stream) Run(ctx context.Context) error {
	tick := time.NewTicker(limits.StreamSample)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *Stream) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, limits.StreamSample)
	defer cancel()
	asked := time.Now()
	info, err := s.ask(ctx)
	if err != nil {
		return
	}
	s.trips.Observe(time.Since(asked).Seconds())
	s.bytes.Set(float64(info.State.Bytes))
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.marks); n > 0 && info.State.LastSeq < s.marks[n-1].last {
		s.marks = nil // another stream
	}
	s.info = info
	s.marks = append(s.marks, mark{asked, info.State.LastSeq})
	if len(s.marks) > limits.StreamMarks {
		s.marks = s.marks[1:]
	}
}

// lag is how many messages the feed has not brought yet of those that were there
// when the stream was last looked at, and for how long the oldest of them has waited, at most.
func (s *Stream) lag(now time.Time, taken event.Ref) (messages uint64, age time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.marks)
	if n == 0 || s.marks[n-1].last <= taken.Seq {
		return 0, 0
	}
	messages = s.marks[n-1].last - taken.Seq
	for i := n - 1; i >= 0; i-- { // what waits came after the last look at which nothing did
		if s.marks[i].last <= taken.Seq {
			return messages, now.Sub(s.marks[i].at)
		}
	}
	if taken.Time > 0 { // it waits since before the first look
		return messages, max(now.Sub(time.Unix(0, taken.Time)), 0)
	}
	return messages, now.Sub(s.marks[0].at)
}

// used is how much of the way to the stream's limits a message has gone, 0 to 1;
// 0 for none, and where there are no limits.
func (s *Stream) used(now time.Time, m event.Ref) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info == nil || m.Seq == 0 || m.Seq > s.info.State.LastSeq {
		return 0
	}
	c, st := &s.info.Config, &s.info.State
	var most float64
	way := func(done, limit float64) {
		if limit > 0 {
			most = max(most, min(done/limit, 1))
		}
	}
	if m.Time > 0 {
		way(now.Sub(time.Unix(0, m.Time)).Seconds(), c.MaxAge.Seconds())
	}
	behind := float64(st.LastSeq - m.Seq + 1)
	way(behind, float64(c.MaxMsgs))
	if st.Msgs > 0 {
		way(min(behind/float64(st.Msgs), 1)*float64(st.Bytes), float64(c.MaxBytes))
	}
	return most
}

// ageOf is how old a message is, in seconds, 0 for none; false: that is not known.
func ageOf(now time.Time, m event.Ref) (seconds float64, known bool) {
	switch {
	case m.Seq == 0:
		return 0, true
	case m.Time == 0:
		return 0, false
	}
	return max(now.Sub(time.Unix(0, m.Time)).Seconds(), 0), true
}
