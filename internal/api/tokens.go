package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

const noTokens = "nobody may call the management API: no token is set, and %s; set ORDERBRIDGE_API_TOKENS or ORDERBRIDGE_API_TOKENS_FILE"

// TokenSource is where the tokens of those come from that may call the API.
type TokenSource struct {
	// Set reads those that the operator has set, by the environment or in File.
	Set  func() ([]Token, error)
	File string // the operator's own file, "": none
	// Dir is the data directory: where no token is set, the file api-token in it
	// holds one, which is made if it is absent. Without the directory there is none.
	Dir string
	Log *slog.Logger
}

// Open reads the tokens at the start, and says what is to be said of the files
// that hold them.
func (s *TokenSource) Open() ([]Token, error) {
	tokens, file, err := s.read()
	var kept *keptError
	switch {
	case errors.As(err, &kept): // deliveries go on all the same
		s.Log.Warn(fmt.Sprintf(noTokens, "none can be kept in the data directory"), "error", kept.cause)
		return nil, nil
	case err != nil:
		return nil, err
	case file == "" && len(tokens) == 0:
		s.Log.Warn(fmt.Sprintf(noTokens, "there is no data directory to keep one in"))
	case len(tokens) == 0:
		s.Log.Warn(fmt.Sprintf(noTokens, "the file of tokens holds none"), "file", file)
	case file != "" && s.File == "":
		s.Log.Info("the management API asks for the token in a file, since none is set", "file", file)
	}
	s.checkMode(file)
	return tokens, nil
}

// checkMode warns of a file of tokens that everybody on this machine can read.
func (s *TokenSource) checkMode(file string) {
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o004 != 0 {
		s.Log.Warn("every user of this machine can read the tokens of the management API; chmod o-r the file",
			"file", file, "mode", info.Mode().Perm().String())
	}
}

// Follow reads the files again until ctx ends, and gives the API what has
// changed since now: a token that was taken out must be good no longer. A file
// that cannot be read leaves the tokens as they were.
func (s *TokenSource) Follow(ctx context.Context, a *API, now []Token) error {
	tick := time.NewTicker(limits.APITokensReread)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		tokens, file, err := s.read()
		switch {
		case err != nil && err.Error() != said:
			said = err.Error()
			s.Log.Error("the tokens of the management API cannot be read again; those read before stay in force",
				"error", err)
		case err != nil:
		case !slices.Equal(tokens, now):
			said, now = "", tokens
			a.SetTokens(tokens, "the file of tokens holds none; put one in, one a line, as name:token, name:token:tenant or name:token:tenant:read")
			s.Log.Info("the tokens of the management API were read again", "file", file, "tokens", len(tokens))
			s.checkMode(file)
		default:
			said = ""
		}
	}
}

// keptError says that the token in the data directory cannot be kept or read.
type keptError struct{ cause error }

func (e *keptError) Error() string { return e.cause.Error() }

// read reads those that were set or, where none was, the one in the data
// directory; file is where the last of them come from.
func (s *TokenSource) read() (tokens []Token, file string, err error) {
	tokens, err = s.Set()
	if err != nil || len(tokens) > 0 || s.File != "" {
		return tokens, s.File, err
	}
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		return nil, "", nil
	}
	path, err := filepath.Abs(filepath.Join(s.Dir, "api-token"))
	if err != nil {
		return nil, "", fmt.Errorf("find the data directory: %w", err)
	}
	token, err := ownToken(path)
	if err != nil {
		return nil, "", &keptError{err}
	}
	return []Token{{Name: "file", Secret: token}}, path, nil
}

// ownToken reads the token from the file; an absent one is made.
func ownToken(path string) (record.Secret, error) {
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
		return "", fmt.Errorf("read the API's token: %s holds fewer than 16 characters; delete it, so that one is made",
			path)
	}
	return record.Secret(token), nil
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
