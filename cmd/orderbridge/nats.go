package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"

	"orderbridge/config"
	"orderbridge/internal/bus"
	"orderbridge/internal/embedded"
	"orderbridge/internal/natscontext"
)

func newNats() *cobra.Command {
	cmd := newGroup("nats", "Give the program nats its way to the bus", newNatsContext(), newNatsRotate())
	cmd.Example = `  orderbridge nats context
  nats --context orderbridge kv put subscriptions acme "$(cat acme.json)"`
	return cmd
}

func newNatsContext() *cobra.Command {
	var show, secrets, force bool
	cmd := &cobra.Command{
		Use:   "context [NAME]",
		Short: "Write a context for the program nats",
		Long: `Write a context for the program nats that connects as this program's own commands
do: to the embedded server with its credentials, or to ORDERBRIDGE_NATS_URL. It is
stored where nats looks for it (XDG_CONFIG_HOME), and only its owner may read it. Its
name is orderbridge unless another one is given. With --print it is only shown.`,
		Example: `  orderbridge nats context
  nats --context orderbridge kv put subscriptions acme "$(cat acme.json)"`,
		Args: args(0, 1, "one name at most"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := settings(cmd)
			if err != nil {
				return err
			}
			s, err := contextOf(cfg)
			if err != nil {
				return err
			}
			name := "orderbridge"
			if len(args) > 0 {
				name = args[0]
			}
			const about = "the bus of orderbridge"
			if show {
				if !secrets {
					hideSecrets(&s)
				}
				text, err := natscontext.Encode(about, s)
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			}
			path, err := natscontext.Write(name, about, s, force)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\nuse it as in: nats --context %s kv ls %s\n", path, name,
				cfg.Prefix+cfg.SubscriptionsBucket)
			return err
		},
	}
	cmd.Flags().BoolVar(&show, "print", false, "print it instead, without its secrets")
	cmd.Flags().BoolVar(&secrets, "show-secrets", false, "with --print: print its secrets, too")
	cmd.Flags().BoolVar(&force, "force", false, "replace a context that this program did not make")
	return cmd
}

// contextOf are the settings of the commands as those of a context.
func contextOf(cfg *config.Config) (natscontext.Settings, error) {
	n := cfg.NATS
	s := natscontext.Settings{
		URL: n.URL.Reveal(), User: n.User, Password: n.Password.Reveal(), Creds: n.Creds, NKey: n.NKey,
		Token:   n.Token.Reveal(),
		UserJWT: n.UserJWT.Reveal(), UserSeed: n.UserSeed.Reveal(), Cert: n.Cert, Key: n.Key, CA: n.CA,
		TLSFirst:   n.HandshakeFirst,
		SocksProxy: n.SocksProxy.Reveal(), InboxPrefix: n.Inbox, Domain: cfg.JetstreamDomain,
		APIPrefix: cfg.JetstreamAPIPrefix,
	}
	if s.URL == "" {
		_, port, err := net.SplitHostPort(n.Listen)
		switch {
		case n.Listen == "":
			return s, errors.New("the embedded server takes no connections, since ORDERBRIDGE_NATS_LISTEN is empty; set it, or ORDERBRIDGE_NATS_URL")
		case err == nil && port == "0":
			return s, errors.New("the embedded server listens on a port of its own choice, since ORDERBRIDGE_NATS_LISTEN has port 0; give it a port")
		}
		s = natscontext.Settings{URL: "nats://" + reachable(n.Listen), InboxPrefix: n.Inbox, NKey: ownSeed(cfg)}
		closed, known := asksForCredentials(reachable(n.Listen))
		if !known {
			closed = cfg.EmbeddedAuth == config.AuthCredentials
		}
		if s.NKey == "" && closed {
			return s, fmt.Errorf("the credentials of the embedded server cannot be read in %s: start `orderbridge serve` first, and run this as the same user with the same ORDERBRIDGE_DATA_DIR", embedded.SeedFile(cfg.DataDir))
		}
		if !closed {
			s.NKey = "" // nats does not connect with one to a server that is open
		}
	}
	for _, path := range []*string{&s.Creds, &s.NKey, &s.Cert, &s.Key, &s.CA} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return s, fmt.Errorf("find %s: %w", *path, err)
		}
		*path = abs
	}
	return s, nil
}

// asksForCredentials tells what a NATS server says of itself to whoever comes;
// known is false if there is none.
func asksForCredentials(address string) (asks, known bool) {
	conn, err := net.DialTimeout("tcp", address, time.Second) //nolint:noctx // a second at most
	if err != nil {
		return false, false
	}
	defer conn.Close()
	if conn.SetReadDeadline(time.Now().Add(time.Second)) != nil {
		return false, false
	}
	line, err := bufio.NewReader(io.LimitReader(conn, 32<<10)).ReadString('\n')
	text, isInfo := strings.CutPrefix(line, "INFO ")
	if err != nil || !isInfo {
		return false, false
	}
	return gjson.Get(text, "auth_required").Bool(), true
}

func hideSecrets(s *natscontext.Settings) {
	for _, secret := range []*string{&s.Password, &s.Token, &s.UserJWT, &s.UserSeed} {
		if *secret != "" {
			*secret = "[redacted]"
		}
	}
	s.URL = bus.Redact(s.URL)
	if s.SocksProxy != "" {
		s.SocksProxy = bus.Redact(s.SocksProxy)
	}
}

func newNatsRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Give the embedded server new credentials",
		Long: `Make new credentials for the embedded server in its data directory. A running
server takes them up within a few seconds and ends connections that were made with the
former ones; commands and contexts read them from there and go on.`,
		Example: "  orderbridge nats rotate",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := settings(cmd)
			if err != nil {
				return err
			}
			if cfg.NATS.URL != "" || cfg.EmbeddedAuth != config.AuthCredentials {
				return errors.New("there are no credentials to make: they are for the embedded server with ORDERBRIDGE_EMBEDDED_AUTH=credentials")
			}
			if err := embedded.NewSeed(cfg.DataDir); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "wrote %s\n", embedded.SeedFile(cfg.DataDir))
			return err
		},
	}
}
