package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/api"
	"orderbridge/internal/automation"
	"orderbridge/internal/bus"
	"orderbridge/internal/egress"
	"orderbridge/internal/embedded"
	"orderbridge/internal/filter"
	"orderbridge/internal/limits"
	"orderbridge/internal/natscontext"
	"orderbridge/internal/openid"
	"orderbridge/internal/process"
	"orderbridge/internal/secrets"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/publishers"
)

// The settings, and what they are for the parts of the program: only here and
// in app.go are they read.

// settings reads the environment and says what looks wrong in it.
func settings(cmd *cobra.Command) (*config.Config, *slog.Logger, error) {
	cfg, warnings, err := config.Load()
	log := telemetry.Logger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
	for _, w := range warnings {
		log.Warn(w)
	}
	if err != nil {
		return nil, nil, badSettings(err)
	}
	if err := applyServer(cmd, cfg); err != nil {
		return nil, nil, err
	}
	if err := applyContext(cmd, cfg); err != nil {
		return nil, nil, err
	}
	return cfg, log, nil
}

func badSettings(err error) error {
	lines := []string{"the environment is not usable:"}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			lines = append(lines, "  "+e.Error())
		}
	}
	return usagef("%s", strings.Join(lines, "\n"))
}

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
		Creds: s.Creds, NKey: s.NKey, User: s.User, Password: record.Secret(s.Password), Token: record.Secret(s.Token),
		UserJWT: record.Secret(s.UserJWT), UserSeed: record.Secret(s.UserSeed),
		CA: s.CA, Cert: s.Cert, Key: s.Key, HandshakeFirst: s.TLSFirst || cfg.NATS.HandshakeFirst,
		SocksProxy: record.Secret(s.SocksProxy),
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
		NoAttempts:    cfg.AttemptLog == config.AttemptsOff,
		Logger:        log,
	}
}

func embeddedOptions(cfg *config.Config, log *slog.Logger) embedded.Options {
	return embedded.Options{Dir: cfg.DataDir, Listen: cfg.NATS.Listen,
		Credentials: cfg.EmbeddedAuth == config.AuthCredentials,
		Sync:        cfg.EmbeddedSync == config.SyncAlways, Logger: log}
}

// newWebhook makes the client of the endpoints, and where its secrets come from.
func newWebhook(cfg *config.Config, tracer bridge.Tracer, log *slog.Logger) (*publishers.Webhook, *secrets.Store, error) {
	s := secrets.New(secrets.Options{Dir: cfg.SecretsDir, IdentityFile: cfg.SealingKeyFile})
	netHTTP, netHTTPFor := cfg.NetHTTP()
	o := publishers.Options{
		Version:       telemetry.Version().Version,
		AllowHTTP:     cfg.AllowHTTP,
		AllowTrustAll: cfg.AllowTrustAll,
		Dev:           cfg.Dev,
		NetHTTP:       netHTTP,
		NetHTTPFor:    netHTTPFor,
		Logger:        log,
		MaxIdleConns:  process.IdleConnections(),
		Proxy:         strings.TrimSuffix(strings.TrimPrefix(cfg.EgressProxy.Reveal(), "http://"), "/"),
		DialControl:   egressPolicy(cfg).Control,
		Internal:      func(addr netip.Addr) bool { return egress.Class(addr) != egress.Public },
		Secrets:       s,
		Tracer:        tracer,
	}
	var err error
	if o.TrustRoots, err = trustRoots(cfg); err != nil {
		return nil, nil, err
	}
	w, err := publishers.NewWebhook(o)
	return w, s, err
}

// trustRoots are those that the operator has added to the system's; nil: none.
func trustRoots(cfg *config.Config) (*x509.CertPool, error) {
	if cfg.TrustRoots == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(cfg.TrustRoots)
	if err != nil {
		return nil, fmt.Errorf("read ORDERBRIDGE_TRUST_ROOTS: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ORDERBRIDGE_TRUST_ROOTS: %s holds no PEM certificate", cfg.TrustRoots)
	}
	return roots, nil
}

// newProvider is where people may log in to the console; nil: nowhere.
func newProvider(cfg *config.Config, log *slog.Logger) (*openid.Provider, error) {
	o := cfg.OIDC
	if o.Issuer == "" {
		return nil, nil
	}
	roots, err := trustRoots(cfg)
	if err != nil {
		return nil, err
	}
	var proxy *url.URL
	if text := cfg.EgressProxy.Reveal(); text != "" {
		if proxy, err = url.Parse(text); err != nil {
			return nil, fmt.Errorf("ORDERBRIDGE_EGRESS_PROXY: %w", err)
		}
	}
	return openid.New(openid.Options{Issuer: o.Issuer, ClientID: o.ClientID, ClientSecret: o.ClientSecret, PublicURL: o.PublicURL,
		Scopes: o.Scopes, RoleClaim: o.RoleClaim, TenantClaim: o.TenantClaim, Proxy: proxy, DialControl: egressPolicy(cfg).Control,
		Roots: roots, Log: log}), nil
}

// automationOptions are those of the file at path, for the record id. What the
// file names, which is the operator's own, may go to the endpoint that it names
// beside.
func automationOptions(cfg *config.Config, s *secrets.Store, w *publishers.Webhook, path, id string) automation.Options {
	return automation.Options{
		Path: path, ID: id, SecretsDir: cfg.SecretsDir, Policy: recordPolicy(cfg), Check: w.Check,
		Grant: func(references []string, endpoint string) {
			s.Grant(secrets.Grant{References: references, Host: record.SecretHost(endpoint)})
		},
		Seal: func(record []byte) ([]byte, error) { return s.SealRecord(id, record) },
		Open: func(record []byte) []byte { return s.OpenRecord(id, record) },
	}
}

// recordPolicy is what the operator permits records.
func recordPolicy(cfg *config.Config) record.Policy {
	least := limits.RecordLeastWait
	if cfg.Dev {
		least = limits.RecordLeastWaitDev
	}
	return record.Policy{LeastWait: least, AllowHTTP: cfg.AllowHTTP, AllowHTTPLoopback: cfg.Dev,
		AllowTrustAll: cfg.AllowTrustAll,
		CheckAddress:  egressPolicy(cfg).Check, CheckFilter: filter.New().Check}
}

func egressPolicy(cfg *config.Config) egress.Policy {
	return egress.Policy{Allow: cfg.EgressAllow, Dev: cfg.Dev}
}

// maxEventBytes leaves room for the envelope of a dead letter.
func maxEventBytes(cfg *config.Config, nc *nats.Conn) int {
	if cfg.MaxEventBytes > 0 {
		return cfg.MaxEventBytes
	}
	return int(nc.MaxPayload()) - 16<<10
}

func quota(cfg *config.Config) api.Quota {
	return api.Quota{Records: cfg.TenantRecords, Bytes: int64(cfg.TenantBytes), Writes: cfg.TenantWrites}
}

// tokensSet are the tokens that the operator has set, by the environment or in a
// file. A tenant's is of use only where subjects tell a tenant.
func tokensSet(cfg *config.Config) (tokens []api.Token, err error) {
	set, err := cfg.AllAPITokens()
	if err != nil {
		return nil, err
	}
	for _, t := range set {
		if t.Tenant != "" && len(cfg.ConfineTenants()) == 0 {
			return nil, fmt.Errorf("token %q is of tenant %q, but ORDERBRIDGE_SUBJECT_LAYOUT=%q tells no tenant; set ORDERBRIDGE_TENANT_SUBJECTS", t.Name, t.Tenant, cfg.SubjectLayout)
		}
		tokens = append(tokens, api.Token{Name: t.Name, Secret: t.Secret, Tenant: t.Tenant, Reads: t.Reads})
	}
	return tokens, nil
}

// hostNames are the names under which the program may be called.
func hostNames(cfg *config.Config) []string {
	names := append([]string{}, cfg.APIHosts...)
	if host, _, err := net.SplitHostPort(cfg.HTTPListen); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// decoder reads events by the settings; created is when their stream was made.
func decoder(cfg *config.Config, stream string, created time.Time) *event.Decoder {
	return &event.Decoder{Stream: stream, Created: created, SubjectLayout: cfg.SubjectLayout,
		TenantSubjects: cfg.TenantSubjects, OrderIDPaths: cfg.OrderIDPaths, LegacyOrderIDPaths: cfg.LegacyOrderIDPaths,
		TypePaths: cfg.EventTypePaths, TenantPaths: cfg.TenantPaths}
}
