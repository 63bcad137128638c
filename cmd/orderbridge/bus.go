package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/bus"
	"orderbridge/internal/embedded"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
	"orderbridge/publishers"
)

// session is a command's connection to the bus.
type session struct {
	cfg   *config.Config
	log   *slog.Logger
	nc    *nats.Conn
	js    jetstream.JetStream
	names store.Names

	denials *denials
}

// onBus runs a command with a connection to the bus.
func onBus(run func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, log, err := settings(cmd)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(cmd.Context())
		defer cancel(nil)
		s, err := connect(ctx, cfg, log, &denials{user: userOf(cfg), end: cancel})
		if err != nil {
			return lacking(ctx, err)
		}
		defer s.nc.Close()
		return lacking(ctx, run(ctx, cmd, s, args))
	}
}

func connect(ctx context.Context, cfg *config.Config, log *slog.Logger, d *denials) (*session, error) {
	o := busOptions(cfg, log)
	o.Denied = d.hear
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
	return &session{cfg: cfg, log: log, nc: nc, js: js, names: storeOptions(cfg, log).Names(), denials: d}, nil
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

func busOptions(cfg *config.Config, log *slog.Logger) bus.Options {
	return bus.Options{
		URL:            cfg.NATS.URL.Reveal(),
		Creds:          cfg.NATS.Creds,
		NkeyFile:       cfg.NATS.NKey,
		User:           cfg.NATS.User,
		Password:       cfg.NATS.Password,
		Token:          cfg.NATS.Token,
		CA:             cfg.NATS.CA,
		Cert:           cfg.NATS.Cert,
		Key:            cfg.NATS.Key,
		Inbox:          cfg.NATS.Inbox,
		Context:        cfg.NATS.Context,
		UserJWT:        cfg.NATS.UserJWT,
		UserSeed:       cfg.NATS.UserSeed,
		SocksProxy:     cfg.NATS.SocksProxy,
		HandshakeFirst: cfg.NATS.HandshakeFirst,
		Domain:         cfg.JetstreamDomain,
		APIPrefix:      cfg.JetstreamAPIPrefix,
		Name:           "orderbridge",
		Logger:         log,
	}
}

func storeOptions(cfg *config.Config, log *slog.Logger) store.Options {
	return store.Options{
		Prefix:        cfg.Prefix,
		Stream:        cfg.Stream,
		Subjects:      cfg.Subjects,
		Subscriptions: cfg.SubscriptionsBucket,
		Replicas:      cfg.Replicas,
		RetrySpan:     bridge.DefaultRetrySpan(),
		Logger:        log,
	}
}

// bucket opens a bucket of ours that serve makes.
func (s *session) bucket(ctx context.Context, name string) (jetstream.KeyValue, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
	defer cancel()
	kv, err := store.OpenBucket(ctx, s.js, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, s.noBucket(name)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %q: %w", name, explain(err))
	}
	return kv, nil
}

func (s *session) noBucket(name string) error {
	return fmt.Errorf("there is no bucket %q; `orderbridge serve` makes it when it starts (is the prefix right? ORDERBRIDGE_PREFIX=%q)", name, s.cfg.Prefix)
}

// catalog is the state of the bridge, all of it.
func (s *session) catalog() *store.Catalog {
	return store.NewCatalog(s.js, s.names, publishers.ParseDeadLetter)
}

// explain adds what to do to errors whose text alone helps nobody.
func explain(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return errors.New("JetStream is not enabled on that server or account; start it with -js, choose another with ORDERBRIDGE_NATS_URL, or, if its streams lie in another account, set ORDERBRIDGE_JETSTREAM_API_PREFIX to the prefix under which they are imported")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("no answer in time: %w; the server is busy, its disk is full, or the user lacks a permission", err)
	}
	return err
}

// readInput reads a file, or stdin for "-".
func readInput(cmd *cobra.Command, path string) ([]byte, error) {
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
