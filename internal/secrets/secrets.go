package secrets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"orderbridge/bridge"
)

const (
	maxValue = 16 << 10
	maxFile  = 1 << 20
)

// Options are what a Store is made from. The zero value reads variables only.
type Options struct {
	// Dir is the secrets directory. The files of a tenant lie in Dir/<tenant>,
	// those of records without tenant in Dir itself. "": there are none.
	Dir string
	// IdentityFile holds the age identities that open sealed values. "": none can be opened.
	IdentityFile string
	// LookupEnv reads a variable. Default os.LookupEnv.
	LookupEnv func(name string) (string, bool)
}

// Store reads secrets when it is asked for them and keeps nothing. Safe for
// concurrent use.
type Store struct{ o Options }

// New returns a store; nothing is read yet.
func New(o Options) *Store {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	return &Store{o}
}

// Value returns what a reference stands for, if it may be used so.
func (s *Store) Value(reference string, use bridge.SecretUse) (bridge.Secret, error) {
	if err := bridge.CheckReference(use.Tenant, reference); err != nil {
		return "", err
	}
	kind, name, _ := strings.Cut(reference, ":")
	switch kind + ":" {
	case bridge.RefEnv:
		value, ok := s.o.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("refers to the variable %s, which is not set", name)
		}
		return bridge.Secret(value), nil
	case bridge.RefFile:
		data, err := s.read(use.Tenant, name, maxValue)
		if err != nil {
			return "", err
		}
		// An editor ends the last line; the value is what stands in it.
		return bridge.Secret(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")), nil
	default:
		return s.unseal(name, use)
	}
}

// ReadFile reads a file of the tenant's part of the directory, at most 1 MiB.
func (s *Store) ReadFile(tenant, name string) ([]byte, error) {
	return s.read(tenant, name, maxFile)
}

// Stat describes the file that ReadFile would read.
func (s *Store) Stat(tenant, name string) (fs.FileInfo, error) {
	root, err := s.root(tenant, name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	info, err := root.Stat(name)
	if err != nil {
		return nil, s.failure(tenant, name, err)
	}
	return info, nil
}

func (s *Store) read(tenant, name string, most int64) ([]byte, error) {
	root, err := s.root(tenant, name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	// Without O_NONBLOCK a named pipe would be waited for.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, s.failure(tenant, name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, s.failure(tenant, name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("file %q is no regular file", name)
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, s.failure(tenant, name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("file %q has more than %d bytes", name, most)
	}
	return data, nil
}

// root opens the tenant's part of the directory; no name leads out of it,
// neither by itself nor by a symbolic link.
func (s *Store) root(tenant, name string) (*os.Root, error) {
	if err := bridge.CheckFileName(tenant, name); err != nil {
		return nil, fmt.Errorf("file name %w", err)
	}
	if s.o.Dir == "" {
		return nil, fmt.Errorf("file %q cannot be read: there is no secrets directory; the operator names one with ORDERBRIDGE_SECRETS_DIR", name)
	}
	root, err := os.OpenRoot(s.o.Dir)
	if err != nil {
		return nil, s.failure("", name, err)
	}
	if tenant == "" {
		return root, nil
	}
	defer root.Close() //nolint:errcheck // nothing was written
	part, err := root.OpenRoot(tenant)
	if err != nil {
		return nil, s.failure(tenant, name, err)
	}
	return part, nil
}

func (s *Store) failure(tenant, name string, err error) error {
	dir := filepath.Join(s.o.Dir, tenant)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("file %q does not exist in %s", name, dir)
	}
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		err = inPath.Err
	}
	return fmt.Errorf("file %q in %s cannot be read: %w", name, dir, err)
}
