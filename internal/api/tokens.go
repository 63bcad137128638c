package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/api"
	"orderbridge/internal/limits"
)

const noTokens = "nobody may call the management API: no token is set, and %s; set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE"

// tokens are those that may call the management API at the start, and what is to
// be said of the files that hold them.
func (a *app) tokens() ([]api.Token, error) {
	tokens, file, err := a.readTokens()
	var kept *keptError
	switch {
	case errors.As(err, &kept): // deliveries go on all the same
		a.log.Warn(fmt.Sprintf(noTokens, "none can be kept in the data directory"), "error", kept.cause)
		return nil, nil
	case err != nil:
		return nil, err
	case file == "" && len(tokens) == 0:
		a.log.Warn(fmt.Sprintf(noTokens, "there is no data directory to keep one in"))
	case len(tokens) == 0:
		a.log.Warn(fmt.Sprintf(noTokens, "the file of tokens holds none"), "file", file)
	case file != "" && a.cfg.APITokensFile == "":
		a.log.Info("the management API asks for the token in a file, since none is set", "file", file)
	}
	a.checkMode(file)
	return tokens, nil
}

// checkMode warns of a file of tokens that everybody on this machine can read.
func (a *app) checkMode(file string) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		a.log.Warn("every user of this machine can read the tokens of the management API; chmod o-r the file", "file", file, "mode", info.Mode().Perm().String())
	}
}

// followTokens reads the files again: a token that was taken out must be good no
// longer. A file that cannot be read leaves the tokens as they were.
func (a *app) followTokens(ctx context.Context, m *api.API) error {
	now := a.callers
	tick := time.NewTicker(limits.APITokensReread)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		tokens, file, err := a.readTokens()
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			a.log.Error("the tokens of the management API cannot be read again; those read before stay in force", "error", err)
		case err != nil:
		case !slices.Equal(tokens, now):
			said, now = "", tokens
			m.SetTokens(tokens, "the file of tokens holds none; put one in, one a line, as name:token or name:token:tenant")
			a.log.Info("the tokens of the management API were read again", "file", file, "tokens", len(tokens))
			a.checkMode(file)
		default:
			said = ""
		}
	}
}

// keptError says that the token in the data directory cannot be kept or read.
type keptError struct{ cause error }

func (e *keptError) Error() string { return e.cause.Error() }

// readTokens reads those that were set or, where none was, the one in the data
// directory, which is made if it is absent; file is where the last of them come
// from.
func (a *app) readTokens() (tokens []api.Token, file string, err error) {
	set, err := a.cfg.AllAPITokens()
	if err != nil {
		return nil, "", err
	}
	for _, t := range set {
		if t.Tenant != "" && len(a.cfg.ConfineTenants()) == 0 {
			return nil, "", fmt.Errorf("token %q is of tenant %q, but ORDERBRIDGE_SUBJECT_LAYOUT=%q tells no tenant; set ORDERBRIDGE_TENANT_SUBJECTS", t.Name, t.Tenant, a.cfg.SubjectLayout)
		}
		tokens = append(tokens, api.Token{Name: t.Name, Secret: t.Secret, Tenant: t.Tenant})
	}
	if len(tokens) > 0 || a.cfg.APITokensFile != "" {
		return tokens, a.cfg.APITokensFile, nil
	}
	if info, err := os.Stat(a.cfg.DataDir); err != nil || !info.IsDir() {
		return nil, "", nil
	}
	path, err := filepath.Abs(filepath.Join(a.cfg.DataDir, "api-token"))
	if err != nil {
		return nil, "", fmt.Errorf("find the data directory: %w", err)
	}
	token, err := ownToken(path)
	if err != nil {
		return nil, "", &keptError{err}
	}
	return []api.Token{{Name: "file", Secret: token}}, path, nil
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
