package lab

import (
	"sync"
	"testing"
	"time"
)

// Lateness measures what a busy machine takes away from those that run on it: by
// how much this process is woken later than it asked for. A test that holds a
// time against a promise allows for it; on an idle machine it is nearly nothing.
type Lateness struct {
	mu   sync.Mutex
	late []wakeup
	stop chan struct{}
	done chan struct{}
}

type wakeup struct {
	at time.Time
	by time.Duration
}

// MeasureLateness begins; Stop ends it.
func MeasureLateness() *Lateness {
	l := &Lateness{stop: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

func (l *Lateness) run() {
	defer close(l.done)
	const asked = 10 * time.Millisecond
	for {
		before := time.Now()
		select {
		case <-l.stop:
			return
		case <-time.After(asked):
		}
		now := time.Now()
		if by := now.Sub(before) - asked; by > time.Millisecond {
			l.mu.Lock()
			l.late = append(l.late, wakeup{now, by})
			l.mu.Unlock()
		}
	}
}

// Since is the sum of it since a time.
func (l *Lateness) Since(t time.Time) (sum time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.late {
		if w.at.After(t) {
			sum += w.by
		}
	}
	return sum
}

// Stop ends the measurement.
func (l *Lateness) Stop() {
	close(l.stop)
	<-l.done
}

// Stopwatch holds times against promises, and allows for what a busy machine took
// away meanwhile.
type Stopwatch struct {
	begun    time.Time
	lateness *Lateness
}

// StartStopwatch begins; it ends with the test.
func StartStopwatch(t testing.TB) *Stopwatch {
	s := &Stopwatch{begun: time.Now(), lateness: MeasureLateness()}
	t.Cleanup(s.lateness.Stop)
	return s
}

// TooLong tells how long it took until now, and whether that is longer than
// promised and than the machine explains.
func (s *Stopwatch) TooLong(promised time.Duration) (took time.Duration, tooLong bool) {
	took = time.Since(s.begun)
	return took, took > promised+s.lateness.Since(s.begun)
}
