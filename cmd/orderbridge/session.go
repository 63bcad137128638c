package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/bus"
	"orderbridge/internal/client"
	"orderbridge/internal/embedded"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
	"orderbridge/publishers"
)

// session is a command's connection to the bus, or to the management API.
type session struct {
	cfg   *config.Config
	log   *slog.Logger
	names store.Names

	catalog operations

	// What only the bus has; nil over the API.
	nc      *nats.Conn
	js      jetstream.JetStream
	bus     *store.Catalog // what the catalog is
	denials *bus.Denials
}

type command func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error

// onBus runs a command that needs the bus itself.
func onBus(run command) func(*cobra.Command, []string) error {
	return withSession(func(cmd *cobra.Command, cfg *config.Config) error {
		if cfg.Server != "" {
			return usagef("%s needs the bus, the management API does not do that; leave out --server (ORDERBRIDGE_SERVER)",
				cmd.CommandPath())
		}
		return nil
	}, run)
}

// asking runs a command that asks the bus, or with --server the management API.
func asking(run command) func(*cobra.Command, []string) error { return withSession(nil, run) }

func withSession(check func(*cobra.Command, *config.Config) error, run command) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, log, err := settings(cmd)
		if err == nil && check != nil {
			err = check(cmd, cfg)
		}
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(cmd.Context())
		defer cancel(nil)
		s, err := open(ctx, cfg, log, bus.NewDenials(userOf(cfg), cancel))
		if err != nil {
			return bus.Lacking(ctx, err)
		}
		defer s.close()
		return bus.Lacking(ctx, run(store.WithDenials(ctx, s.denials.Without), cmd, s, args))
	}
}

// open connects to the bus, or means the server whose API is asked.
func open(ctx context.Context, cfg *config.Config, log *slog.Logger, d *bus.Denials) (*session, error) {
	if cfg.Server != "" {
		return openServer(cfg, log)
	}
	return connect(ctx, cfg, log, d)
}

func (s *session) close() {
	if s.nc != nil {
		s.nc.Close()
	}
	if c, ok := s.catalog.(*client.Client); ok {
		c.Close()
	}
}

func connect(ctx context.Context, cfg *config.Config, log *slog.Logger, d *bus.Denials) (*session, error) {
	o := busOptions(cfg, log)
	o.Denied = d.Hear
	o.Once = true
	if o.URL == "" {
		if cfg.NATS.Listen == "" {
			return nil, errors.New("the embedded server of `orderbridge serve` takes no connections, since ORDERBRIDGE_NATS_LISTEN is empty; set it, or ORDERBRIDGE_NATS_URL")
		}
		if _, port, err := net.SplitHostPort(cfg.NATS.Listen); err == nil && port == "0" {
			return nil, errors.New("the embedded server of `orderbridge serve` listens on a port of its own choice, since ORDERBRIDGE_NATS_LISTEN has port 0; set ORDERBRIDGE_NATS_URL to the address in its log")
		}
		o.URL = "nats://" + reachable(cfg.NATS.Listen)
		o.NkeyFile = ownSeed(cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	nc, err := bus.Connect(ctx, o)
	if cfg.NATS.URL == "" && errors.Is(err, nats.ErrNkeysNotSupported) { // it is open now
		o.NkeyFile = ""
		nc, err = bus.Connect(ctx, o)
	}
	switch {
	case cfg.NATS.URL == "" && (errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired)):
		return nil, fmt.Errorf("the embedded server at %s refuses this user: its credentials are in %s, which only the user who runs it may read. Run the command as that user, with its ORDERBRIDGE_DATA_DIR", o.URL, embedded.SeedFile(cfg.DataDir))
	case cfg.NATS.URL == "" && (errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, nats.ErrNoServers)):
		return nil, fmt.Errorf("connect to NATS at %s: nobody listens there; is `orderbridge serve` running? (ORDERBRIDGE_NATS_URL is empty, so its embedded server is asked)", o.URL)
	case err != nil && cfg.NATS.URL == "":
		return nil, fmt.Errorf("%w; is `orderbridge serve` running? (ORDERBRIDGE_NATS_URL is empty, so its embedded server is asked)", err)
	case err != nil:
		return nil, err
	}
	js, err := bus.JetStream(nc, o, limits.CommandCallTime)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return newSession(cfg, log, nc, js, d), nil
}

// ownSeed is the file that opens the embedded server, "" if it is not there or
// cannot be read: the server says then whether it is needed.
func ownSeed(cfg *config.Config) string {
	f, err := os.Open(embedded.SeedFile(cfg.DataDir))
	if err != nil {
		return ""
	}
	f.Close()
	return f.Name()
}

// newSession reads and changes all of the bridge's state.
func newSession(cfg *config.Config, log *slog.Logger, nc *nats.Conn, js jetstream.JetStream, d *bus.Denials) *session {
	names := storeOptions(cfg, log).Names()
	catalog := store.NewCatalog(js, names, publishers.ParseDeadLetter).WithEvents(decoder(cfg, names.Stream, time.Time{}))
	return &session{cfg: cfg, log: log, nc: nc, js: js, names: names, denials: d, catalog: catalog, bus: catalog}
}

// acting says who runs a command that changes something, as far as the operating
// system tells.
func acting(ctx context.Context) context.Context {
	a := store.Actor{Via: "cli"}
	if u, err := user.Current(); err == nil {
		a.Name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		a.Address = host
	}
	return store.WithActor(ctx, a)
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

func (s *session) noBucket(name string) error {
	return fmt.Errorf("there is no bucket %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", name, s.cfg.Prefix)
}

// list runs a list of the catalog: through a consumer, which is fastest, or by
// reading one entry after another where the user may make none.
func (s *session) list(ctx context.Context, run func(context.Context, operations) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if s.bus == nil {
		return run(ctx, s.catalog)
	}
	err := s.denials.Without(ctx, ".CONSUMER.", func(ctx context.Context) error { return run(ctx, s.catalog) })
	if no := (*bus.Denial)(nil); errors.As(err, &no) {
		err = run(ctx, s.bus.Singly())
	}
	return explain(err)
}

// mustKnow makes sure that there is a subscription of that id: a record, or a
// deleted one whose debts are kept. What a command has found of it besides
// (debts, dead letters) is proof enough and need not come here.
func (s *session) mustKnow(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	err := s.denials.Without(ctx, s.names.Subscriptions, func(ctx context.Context) error {
		_, err := s.catalog.Record(ctx, store.Everything(), id)
		return err
	})
	if errors.Is(err, protocol.ErrNotFound) || errors.Is(err, nats.ErrPermissionViolation) {
		_, err = s.catalog.LastStatus(ctx, id)
	}
	if errors.Is(err, protocol.ErrNotFound) {
		return s.unknown(ctx, id)
	}
	return explain(err)
}

// unknown says that there is no such subscription, and which one may be meant.
func (s *session) unknown(ctx context.Context, id string) error {
	hint := "`orderbridge subscriptions list` shows those there are"
	var known []string
	err := s.denials.Without(ctx, s.names.Subscriptions, func(ctx context.Context) (err error) {
		known, err = s.catalog.IDs(ctx)
		return err
	})
	if err == nil {
		if near := nearIDs(id, known); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
	}
	return fmt.Errorf("there is no subscription %q; %s", id, hint)
}

// nearIDs are at most three ids that differ little from id.
func nearIDs(id string, known []string) []string {
	type candidate struct {
		id    string
		edits int
	}
	var near []candidate
	for _, k := range known {
		if k == id {
			continue // hidden, or gone this moment
		}
		n := record.Edits(id, k)
		if len(id) > 2 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(id)) {
			n = min(n, 1)
		}
		if n <= max(1, len(id)/3) {
			near = append(near, candidate{k, n})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.edits - b.edits })
	var ids []string
	for _, c := range near[:min(len(near), 3)] {
		ids = append(ids, fmt.Sprintf("%q", c.id))
	}
	return ids
}

// explain adds to an error what to do about it, where its text alone helps
// nobody: behind what it was about, which the catalog says.
func explain(err error) error {
	if cause := errors.Unwrap(err); cause != nil {
		if what, found := strings.CutSuffix(err.Error(), cause.Error()); found {
			if told := store.Explain(cause); told != cause { //nolint:errorlint // whether it is the same
				return fmt.Errorf("%s%w", what, told)
			}
		}
	}
	return store.Explain(err)
}

// readInput reads a file, or stdin for "-", until the command is to end: a pipe may
// have nobody who writes to it.
func readInput(cmd *cobra.Command, path string) ([]byte, error) {
	type input struct {
		data []byte
		err  error
	}
	read := make(chan input, 1)
	go func() { // nobody waits for it: the process ends where it cannot be stopped
		data, err := readAll(cmd, path)
		read <- input{data, err}
	}()
	select {
	case in := <-read:
		return in.data, in.err
	case <-cmd.Context().Done():
		return nil, fmt.Errorf("read %s: interrupted", path)
	}
}

func readAll(cmd *cobra.Command, path string) ([]byte, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read input: %w", err)
		}
		defer f.Close()
		in = f
	} else if terminal(in) {
		fmt.Fprintln(cmd.ErrOrStderr(), "reading from the terminal; end with Ctrl-D")
	}
	data, err := io.ReadAll(io.LimitReader(in, limits.CommandInputBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(data) > limits.CommandInputBytes {
		return nil, fmt.Errorf("read %s: it has more than %d MiB; split it", path, limits.CommandInputBytes>>20)
	}
	return data, nil
}
