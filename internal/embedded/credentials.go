package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"orderbridge/internal/limits"
)

// With credentials the server knows two users: whoever holds the seed in the
// data directory, and the bridge in this process, whose key is in no file.

// SeedFile is where the seed of the nkey lies that opens the embedded server.
func SeedFile(dir string) string { return filepath.Join(dir, "nats", "admin.nk") }

// readSeed reads the seed, and makes one if there is none.
func readSeed(dir string) (nkeys.KeyPair, error) {
	path := SeedFile(dir)
	for {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			if err := NewSeed(dir); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the credentials of the embedded server: %w", err)
		}
		text, err := io.ReadAll(io.LimitReader(f, limits.SeedBytes))
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("read the credentials of the embedded server: %w", err)
		}
		pair, err := nkeys.FromSeed(bytes.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("the credentials of the embedded server: %s holds no nkey seed; delete it, so that one is made", path)
		}
		return pair, nil
	}
}

// NewSeed makes new credentials, in place of the old ones if there are any. A
// running server takes them within a few seconds, and ends connections that
// were made with the old ones.
func NewSeed(dir string) error {
	fail := func(err error) error { return fmt.Errorf("make credentials for the embedded server: %w", err) }
	pair, err := nkeys.CreateUser()
	if err != nil {
		return fail(err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return fail(err)
	}
	path := SeedFile(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".admin-") // 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has been renamed
	_, err = f.Write(append(seed, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// keys are who may connect.
type keys struct {
	own   nkeys.KeyPair // of the bridge in this process
	admin string        // public key of the seed in the file
}

// users reads the file.
func (e *Server) users() ([]*server.NkeyUser, error) {
	if !e.options.Credentials {
		return nil, nil
	}
	admin, err := readSeed(e.options.Dir)
	if err != nil {
		return nil, err
	}
	defer admin.Wipe()
	if e.keys.own == nil {
		if e.keys.own, err = nkeys.CreateUser(); err != nil {
			return nil, err
		}
	}
	own, err := e.keys.own.PublicKey()
	if err != nil {
		return nil, err
	}
	public, err := admin.PublicKey()
	if err != nil {
		return nil, err
	}
	e.keys.admin = public
	return []*server.NkeyUser{{Nkey: own}, {Nkey: public}}, nil
}

// Nkey is the public key of the bridge in this process, "" without credentials.
func (e *Server) Nkey() string {
	if e.keys.own == nil {
		return ""
	}
	public, err := e.keys.own.PublicKey()
	if err != nil {
		return ""
	}
	return public
}

// Sign answers the server's nonce.
func (e *Server) Sign(nonce []byte) ([]byte, error) { return e.keys.own.Sign(nonce) }

// follow takes new credentials into use. One goroutine calls it.
func (e *Server) follow() {
	if !e.options.Credentials {
		return
	}
	was := e.keys.admin
	users, err := e.users()
	if err != nil {
		if e.unread != err.Error() {
			e.unread = err.Error()
			e.log.Warn("the credentials in the data directory cannot be taken, the former ones stay in force", "error", err)
		}
		return
	}
	e.unread = ""
	if e.keys.admin == was {
		return
	}
	opts, err := e.serverOptions(users)
	if err == nil {
		err = e.server().ReloadOptions(opts)
	}
	if err != nil {
		e.keys.admin = was // once more
		e.log.Warn("the embedded server does not take its new credentials", "error", err)
		return
	}
	e.log.Info("the embedded server has new credentials", "file", SeedFile(e.options.Dir))
}
