package secrets

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
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
type Store struct {
	o       Options
	granted atomic.Pointer[Grant]
}

// New returns a store; nothing is read yet.
func New(o Options) *Store {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	return &Store{o: o}
}

// Value returns what a reference stands for, if it may be used so, and what is
// unwise about it. A *record.RefusedSecret says that it may not.
func (s *Store) Value(reference string, use record.SecretUse) (value record.Secret, warning string, err error) {
	if err := record.CheckReference(use.Tenant, reference); err != nil {
		return "", "", err
	}
	kind, name, _ := strings.Cut(reference, ":")
	switch kind + ":" {
	case record.RefEnv:
		text, ok := s.o.LookupEnv(name)
		if !ok {
			return "", "", fmt.Errorf("refers to the variable %s, which is not set", name)
		}
		if err := s.mayUseEnv(name, use); err != nil {
			return "", "", err
		}
		return record.Secret(text), "", nil
	case record.RefFile:
		data, err := s.read(name, use, limits.SecretBytes)
		if err != nil {
			return "", "", err
		}
		// An editor ends the last line; the value is what stands in it.
		return record.Secret(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")), "", nil
	default:
		return s.unseal(name, use)
	}
}

// ReadKey reads a file with a private key, which is a secret as others are, of
// the tenant's part of the directory.
func (s *Store) ReadKey(name string, use record.SecretUse) ([]byte, error) {
	return s.read(name, use, limits.SecretFileBytes)
}

// ReadCertificates reads a file with certificates of the tenant's part of the
// directory. What it may hold beside them must not be used: the file need not
// say where it may go.
func (s *Store) ReadCertificates(name string, use record.SecretUse) ([]byte, error) {
	root, err := s.root(use.Tenant, name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	return s.readIn(root, use.Tenant, name, limits.SecretFileBytes)
}

// Stat describes the file, and what says where it may go; the latter is nil if
// nothing does.
func (s *Store) Stat(tenant, name string) (file, hosts fs.FileInfo, err error) {
	root, err := s.root(tenant, name)
	if err != nil {
		return nil, nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	if file, err = root.Stat(name); err != nil {
		return nil, nil, s.failure(tenant, name, err)
	}
	if hosts, err = root.Stat(name + record.FileHosts); err != nil {
		hosts = nil
	}
	return file, hosts, nil
}

// read reads a secret file for a use that is permitted.
func (s *Store) read(name string, use record.SecretUse, most int64) ([]byte, error) {
	root, err := s.root(use.Tenant, name)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	if _, err := root.Stat(name); err != nil {
		return nil, s.failure(use.Tenant, name, err)
	}
	if err := s.mayUseFile(root, name, use); err != nil {
		return nil, err
	}
	return s.readIn(root, use.Tenant, name, most)
}

func (s *Store) readIn(root *os.Root, tenant, name string, most int64) ([]byte, error) {
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
		return nil, fmt.Errorf("file %q is not a regular file", name)
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
	if err := record.CheckFileName(tenant, name); err != nil {
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
	dir := filepath.Join("ORDERBRIDGE_SECRETS_DIR", tenant) // tenants read it: where that is, is not theirs to know
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		err = inPath.Err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("file %q does not exist in %s%w", name, dir, silent{err})
	}
	return fmt.Errorf("file %q in %s cannot be read: %w", name, dir, err)
}

// silent is a cause that the text before it has told already.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }
