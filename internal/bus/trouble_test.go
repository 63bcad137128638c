package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// What each kind of credentials is called in the message.
func TestExplainNamesTheSetting(t *testing.T) {
	t.Parallel()
	refused := fmt.Errorf("connect: %w", nats.ErrAuthorization)
	for name, tt := range map[string]struct {
		o    Options
		err  error
		want string
	}{
		"nkey":    {Options{NkeyFile: "/seed"}, refused, "ORDERBRIDGE_NATS_NKEY (/seed)"},
		"token":   {Options{Token: "hunter2"}, refused, "ORDERBRIDGE_NATS_TOKEN"},
		"cert":    {Options{Cert: "/none"}, refused, "ORDERBRIDGE_NATS_CERT (/none"},
		"context": {Options{Context: "prod", User: "u"}, refused, "`nats context show prod`"},
		"url":     {Options{URL: "nats://a,nats://u:hunter2@b", Creds: "/c"}, refused, "ORDERBRIDGE_NATS_URL"},
		"revoked": {Options{Creds: "/none"}, nats.ErrAuthRevoked, "revoked: check ORDERBRIDGE_NATS_CREDS (/none, which cannot be read now"},
		"account": {Options{}, nats.ErrAccountAuthExpired, "the account's JWT has expired"},
		"tls":     {Options{}, nats.ErrSecureConnRequired, "tls:// in ORDERBRIDGE_NATS_URL"},
		"no tls":  {Options{}, nats.ErrSecureConnWanted, "offers no TLS"},
		"full":    {Options{}, nats.ErrMaxAccountConnectionsExceeded, "the account has as many connections"},
		"other":   {Options{}, errors.New("something else"), "something else"},
	} {
		got := tt.o.Explain(tt.err)
		if !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestReconnectDelayIsBounded(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]float64{0: 0.375, 1: 0.45, 10: 2.4, 100: 6, 1 << 40: 6} {
		if got := reconnectDelay(n).Seconds(); got < 0.25 || got > most {
			t.Errorf("attempt %d: %.2f s, want 0.25 to %.2f", n, got, most)
		}
	}
}

func TestOldVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"2.10.29": true, "2.9.0": true, "v2.10.0": true, "1.4.1": true,
		"2.11.0": true, "2.11.6": true, "2.11.7": false, "2.11.10": false, "v2.11.7-RC.1": false, "2.12.0": false, "2.15.2": false, "3.0.0": false, "": false, "x.y": false} {
		if got := oldVersion(version); got != want {
			t.Errorf("%q: %v", version, got)
		}
	}
}

// What the program can do without is told once, and is no reason not to be ready.
func TestSparedPermissions(t *testing.T) {
	t.Parallel()
	o := Options{Spared: []string{"audit.", "$JS.API.STREAM.INFO.AUDIT"}}
	refuse := func(what string) error {
		return fmt.Errorf("%w: Permissions Violation for %s", nats.ErrPermissionViolation, what)
	}
	for what, want := range map[string]string{
		`Publish to "audit.bridge.-.started"`:     "audit.",
		`Publish to "$JS.API.STREAM.INFO.AUDIT"`:  "$JS.API.STREAM.INFO.AUDIT",
		`Publish to "$JS.API.STREAM.INFO.ORDERS"`: "",
		`Subscription to "audits.>"`:              "",

		`Publish with Reply of "$JS.ACK.ORDERS.x.1.1.1.1.0"`: "",
	} {
		if got, spared := o.spares(refuse(what)); got != want || spared != (want != "") {
			t.Errorf("%s: %q, %t", what, got, spared)
		}
	}
	if _, spared := o.spares(errors.New(`Publish to "audit.x"`)); spared {
		t.Error("another error is spared")
	}
	var l Link
	if !l.firstOf("audit.") || l.firstOf("audit.") || !l.firstOf("$JS.") {
		t.Error("not told once for each")
	}
}
