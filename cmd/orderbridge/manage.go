package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/api"
	"orderbridge/internal/store"
	"orderbridge/internal/telemetry"
	"orderbridge/publishers"
)

// manage answers for the management API, once there is one.
func (a *app) manage(w http.ResponseWriter, r *http.Request) {
	if m := a.api.Load(); m != nil {
		m.ServeHTTP(w, r)
		return
	}
	api.Starting(w, r)
}

func (a *app) newAPI(parse func(string, []byte) (*bridge.Subscription, bridge.Problems)) (*api.API, error) {
	o := api.Options{
		Catalog: store.NewCatalog(a.js, a.names, publishers.ParseDeadLetter),
		Parse:   parse,
		Probe:   a.webhook.Probe,
		Attempt: func(ctx context.Context, d *bridge.Delivery) error {
			m := message.NewMessage(d.Event.ID, d.Event.Data)
			m.SetContext(bridge.WithDelivery(ctx, d))
			return a.webhook.Publish(d.Subscription.ID, m)
		},
		Seal:           a.sealRecord,
		Hosts:          append([]string{}, a.cfg.APIHosts...),
		TenantSubjects: a.cfg.ConfineTenants(),
		Version:        telemetry.Version().Version,
		Metrics:        a.metrics,
		Log:            a.log,
	}
	if host, _, err := net.SplitHostPort(a.cfg.HTTPListen); err == nil && host != "" {
		o.Hosts = append(o.Hosts, host)
	}
	tokens, err := a.tokens()
	if err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		o.Remedy = "set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE"
	}
	for _, t := range tokens {
		if t.Tenant != "" && len(o.TenantSubjects) == 0 {
			return nil, fmt.Errorf("token %q is of tenant %q, but ORDERBRIDGE_SUBJECT_LAYOUT=%q tells no tenant; set ORDERBRIDGE_TENANT_SUBJECTS", t.Name, t.Tenant, a.cfg.SubjectLayout)
		}
		o.Tokens = append(o.Tokens, api.Token{Name: t.Name, Secret: t.Secret, Tenant: t.Tenant})
	}
	return api.New(o)
}

// sealRecord seals the secrets of a record that the API is about to store, if
// there is a key for it.
func (a *app) sealRecord(_ context.Context, id string, record []byte) ([]byte, error) {
	return a.secrets.SealRecord(id, record)
}

// tokens are those that were set or, where none was, the one in the data
// directory, which is made at the first start.
func (a *app) tokens() (config.Tokens, error) {
	tokens, err := a.cfg.AllAPITokens()
	if err != nil || len(tokens) > 0 {
		return tokens, err
	}
	if info, err := os.Stat(a.cfg.DataDir); err != nil || !info.IsDir() {
		a.log.Warn("nobody may call the management API: no token is set, and there is no data directory to keep one in; set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE")
		return nil, nil
	}
	path, err := filepath.Abs(filepath.Join(a.cfg.DataDir, "api-token"))
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	token, err := ownToken(path)
	if err != nil { // deliveries go on all the same
		a.log.Warn("nobody may call the management API: no token is set, and none can be kept in the data directory; set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE", "error", err)
		return nil, nil
	}
	a.log.Info("the management API asks for the token in a file, since none is set", "file", path)
	return config.Tokens{{Name: "file", Secret: token}}, nil
}

// ownToken reads the token from the file; an absent one is made.
func ownToken(path string) (bridge.Secret, error) {
	text, err := readToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := writeToken(path); err != nil {
			return "", fmt.Errorf("make the API's token: %w", err)
		}
		text, err = readToken(path)
	}
	if err != nil {
		return "", fmt.Errorf("read the API's token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("read the API's token: %s holds fewer than 16 characters; delete it, so that one is made", path)
	}
	return bridge.Secret(token), nil
}

func readToken(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}

// writeToken puts a new token under a name that nobody has taken: it is there
// as a whole, or not at all.
func writeToken(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".api-token-") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it may have been renamed
	_, err = f.WriteString(rand.Text() + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	err = os.Link(f.Name(), path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return os.Rename(f.Name(), path) // where the file system knows no links
}
