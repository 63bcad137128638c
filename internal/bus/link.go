package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/limits"
)

// Link tells how a connection stands, from before it was made until it is
// closed. The zero value is ready to be given to Connect; it is for one
// connection.
type Link struct {
	mu       sync.Mutex
	options  Options
	nc       *nats.Conn
	last     error // of the last attempt
	refused  error // the last permission violation
	when     time.Time
	closed   chan struct{}
	said     string // what was logged last
	saidTime time.Time
	spared   map[string]bool // subjects of Options.Spared that were logged
	without  map[*refusable]struct{}
}

func (l *Link) begin(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.options, l.closed = o, make(chan struct{})
}

func (l *Link) made(nc *nats.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nc = nc
}

func (l *Link) failed(err error) {
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, nats.ErrPermissionViolation) {
		l.refused, l.when = err, time.Now()
		return
	}
	l.last = err
}

// Problem is why there is no connection, and what to do; "" while there is one,
// and before Connect is called.
func (l *Link) Problem() string {
	l.mu.Lock()
	nc, last, o, begun := l.nc, l.last, l.options, l.closed != nil
	l.mu.Unlock()
	if !begun {
		return ""
	}
	if nc != nil {
		if nc.IsConnected() {
			return ""
		}
		if err := nc.LastError(); err != nil { // of the present attempt
			last = err
		}
	}
	return o.Explain(last)
}

// Violation is a permission that the server has refused lately, "" if none.
func (l *Link) Violation() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused == nil || time.Since(l.when) > limits.BusViolationTime {
		return ""
	}
	return l.options.Explain(l.refused)
}

// violated finds in a permission error what was refused, and for which subject.
var violated = regexp.MustCompile(`(Publish|Subscription) to "([^"]+)"`)

// spares tells whether err refuses only what the program can do without, and
// which of Options.Spared it is.
func (o Options) spares(err error) (subject string, spared bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	m := violated.FindStringSubmatch(err.Error())
	if m == nil {
		return "", false
	}
	i := slices.IndexFunc(o.Spared, func(begin string) bool { return strings.HasPrefix(m[2], begin) })
	if i < 0 {
		return "", false
	}
	return o.Spared[i], true
}

// refusable is what is under way and publishes to a subject.
type refusable struct {
	subject string
	end     context.CancelCauseFunc
}

// Without runs what publishes to a subject; should the server refuse that, run ends at
// once, and the error is a nats.ErrPermissionViolation that names the subject.
func (l *Link) Without(ctx context.Context, subject string, run func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &refusable{subject, cancel}
	l.mu.Lock()
	if l.without == nil {
		l.without = map[*refusable]struct{}{}
	}
	l.without[r] = struct{}{}
	l.mu.Unlock()
	err := run(ctx)
	l.mu.Lock()
	delete(l.without, r)
	l.mu.Unlock()
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, nats.ErrPermissionViolation) {
		return cause
	}
	return err
}

// refuses ends what is under way and publishes to a subject that err refuses.
func (l *Link) refuses(err error) {
	m := violated.FindStringSubmatch(err.Error())
	if m == nil || m[1] != "Publish" || !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range l.without {
		if r.subject == m[2] {
			r.end(fmt.Errorf("%w: the bridge may not publish to %q", nats.ErrPermissionViolation, r.subject))
		}
	}
}

// firstOf tells whether it is the first refusal of that subject.
func (l *Link) firstOf(subject string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spared[subject] {
		return false
	}
	if l.spared == nil {
		l.spared = map[string]bool{}
	}
	l.spared[subject] = true
	return true
}

// UntilClosed ends with an error when the connection is closed though nobody has
// asked for it: nothing can be done without one, and a new process gets a new one.
func (l *Link) UntilClosed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-l.closed:
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := l.nc.LastError(); err != nil {
		return fmt.Errorf("the connection to NATS was closed: %w", err)
	}
	return errors.New("the connection to NATS was closed")
}

// news tells whether a text is worth a warning: it is another one than before,
// or that was a while ago.
func (l *Link) news(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text == l.said && time.Since(l.saidTime) < limits.BusSayAgain {
		return false
	}
	l.said, l.saidTime = text, time.Now()
	return true
}
