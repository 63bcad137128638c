package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/natscontext"
)

// contextFlag chooses a context of the program nats; it goes before all that
// the environment says of how to connect.
const contextFlag = "context"

// applyContext puts what a context says in place of the settings. The context
// that `nats context select` chose, and NATS_CONTEXT, count for nothing: what a
// user chose for a shell must not move a bridge to another bus.
func applyContext(cmd *cobra.Command, cfg *config.Config) error {
	name := cfg.NATS.Context
	if flag := cmd.Flags().Lookup(contextFlag); flag != nil && flag.Changed {
		name = flag.Value.String()
	} else if name == "" {
		return nil
	}
	s, err := natscontext.Read(name)
	if err != nil {
		return usagef("%w", err)
	}
	cfg.NATS = config.NATS{
		Context: name, Listen: cfg.NATS.Listen,
		URL:   config.Servers(s.URL),
		Creds: s.Creds, NKey: s.NKey, User: s.User, Password: bridge.Secret(s.Password), Token: bridge.Secret(s.Token),
		UserJWT: bridge.Secret(s.UserJWT), UserSeed: bridge.Secret(s.UserSeed),
		CA: s.CA, Cert: s.Cert, Key: s.Key, HandshakeFirst: s.TLSFirst || cfg.NATS.HandshakeFirst,
		SocksProxy: bridge.Secret(s.SocksProxy),
		Inbox:      cmp.Or(cfg.NATS.Inbox, s.InboxPrefix),
	}
	if cfg.JetstreamDomain == "" && cfg.JetstreamAPIPrefix == "" {
		cfg.JetstreamDomain, cfg.JetstreamAPIPrefix = s.Domain, s.APIPrefix
		if s.Domain != "" {
			cfg.JetstreamAPIPrefix = "" // as nats has it
		}
	}
	return nil
}
