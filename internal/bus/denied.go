package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// The server says at once that a user lacks a permission, but only beside the
// request, which then gets no answer until its time is up. So a command ends
// when it hears of it, and says which permission it is.

// Denial is a permission that the user of a command lacks.
type Denial struct {
	subject   string
	subscribe bool
	user      string // who it is, and by which setting
}

func (d *Denial) Error() string {
	verb, remedy := "publish to", "allow it in the permissions of that user (deploy/nats/accounts.conf shows who needs what), or use another user"
	if d.subscribe {
		verb = "subscribe to"
		if strings.Contains(d.subject, "INBOX") {
			remedy = "answers come there: set ORDERBRIDGE_NATS_INBOX to the prefix that this user may subscribe to, as in _INBOX_manager, or allow it in the user's permissions"
		}
	}
	if strings.HasPrefix(d.subject, "$JS.API.") || strings.HasPrefix(d.subject, "$KV.") {
		remedy = "if the streams lie in another account than this user, set ORDERBRIDGE_JETSTREAM_API_PREFIX to the prefix under which they are imported, as in ORD.API; else " + remedy
	}
	return fmt.Sprintf("the server refuses: %s may not %s %q; %s", d.user, verb, d.subject, remedy)
}

// Is makes a denial what the connection calls it.
func (d *Denial) Is(target error) bool { return target == nats.ErrPermissionViolation }

// Denials hears what the server refuses.
type Denials struct {
	user string
	end  context.CancelCauseFunc // of the command

	mu        sync.Mutex
	tolerated []*tolerance
}

// NewDenials ends a command, whose user is called so in messages, with the
// first denial that it cannot do without.
func NewDenials(user string, end context.CancelCauseFunc) *Denials {
	return &Denials{user: user, end: end}
}

// User is how messages call the user.
func (d *Denials) User() string { return d.user }

// tolerance is a permission without which a command knows another way.
type tolerance struct {
	part string // of the subject
	end  context.CancelCauseFunc
}

// Hear is called with each permission error of the connection.
func (d *Denials) Hear(err error) {
	m := violated.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	no := &Denial{subject: m[2], subscribe: m[1] == "Subscription", user: d.user}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, t := range slices.Backward(d.tolerated) { // the newest: what a former one was about may still be refused
		if strings.Contains(no.subject, t.part) {
			t.end(no)
			return
		}
	}
	d.end(no)
}

// Without runs a part of a command that may be denied what is published to a
// subject that holds part; the error is then a *Denial, and the command goes on.
func (d *Denials) Without(ctx context.Context, part string, run func(context.Context) error) error {
	if d == nil { // not on the bus
		return run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.mu.Lock()
	d.tolerated = append(d.tolerated, &tolerance{part, cancel})
	d.mu.Unlock()
	return Lacking(ctx, run(ctx))
}

// Lacking is err, or the denial because of which ctx has ended.
func Lacking(ctx context.Context, err error) error {
	var no *Denial
	if err != nil && errors.As(context.Cause(ctx), &no) {
		return no
	}
	return err
}

// Lack is the denial because of which ctx has ended, if it has.
func Lack(ctx context.Context) error {
	var no *Denial
	if errors.As(context.Cause(ctx), &no) {
		return no
	}
	return nil
}
