package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"orderbridge/config"
)

// The server says at once that a user lacks a permission, but only beside the
// request, which then gets no answer until its time is up. So a command ends
// when it hears of it, and says which permission it is.

// denial is a permission that the user of a command lacks.
type denial struct {
	subject   string
	subscribe bool
	user      string // who it is, and by which setting
}

func (d *denial) Error() string {
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

var deniedSubject = regexp.MustCompile(`(Publish|Subscription) to "([^"]+)"`)

// denials hears what the server refuses.
type denials struct {
	user string

	mu        sync.Mutex
	end       context.CancelCauseFunc // of the command
	tolerated []*tolerance
}

// tolerance is a permission without which a command knows another way.
type tolerance struct {
	part string // of the subject
	end  context.CancelCauseFunc
}

// hear is called with each permission error of the connection.
func (d *denials) hear(err error) {
	m := deniedSubject.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	no := &denial{subject: m[2], subscribe: m[1] == "Subscription", user: d.user}
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

// without runs a part of a command that may be denied what is published to a
// subject that holds part; the error is then a *denial, and the command goes on.
func (d *denials) without(ctx context.Context, part string, run func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	d.mu.Lock()
	d.tolerated = append(d.tolerated, &tolerance{part, cancel})
	d.mu.Unlock()
	return lacking(ctx, run(ctx))
}

// lacking is err, or the denial because of which ctx has ended.
func lacking(ctx context.Context, err error) error {
	var no *denial
	if err != nil && errors.As(context.Cause(ctx), &no) {
		return no
	}
	return err
}

// lack is the denial because of which ctx has ended, if it has.
func lack(ctx context.Context) error {
	var no *denial
	if errors.As(context.Cause(ctx), &no) {
		return no
	}
	return nil
}

// userOf tells who a command is on the bus, and by which setting.
func userOf(cfg *config.Config) string {
	switch n := cfg.NATS; {
	case n.User != "":
		return fmt.Sprintf("the user %q (ORDERBRIDGE_NATS_USER)", n.User)
	case n.Creds != "":
		return fmt.Sprintf("the user of ORDERBRIDGE_NATS_CREDS=%q", n.Creds)
	case n.NKey != "":
		return fmt.Sprintf("the user of ORDERBRIDGE_NATS_NKEY=%q", n.NKey)
	case n.Token != "":
		return "the user of ORDERBRIDGE_NATS_TOKEN"
	case n.Cert != "":
		return fmt.Sprintf("the user of the certificate ORDERBRIDGE_NATS_CERT=%q", n.Cert)
	}
	return "a user without credentials (none of ORDERBRIDGE_NATS_USER, NATS_CREDS, NATS_NKEY, NATS_TOKEN, NATS_CERT is set)"
}
