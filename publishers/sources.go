package publishers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"orderbridge/bridge"
)

// Secrets reads what records only refer to, and confines each record to what
// is its tenant's. Its errors hold no secret.
type Secrets interface {
	// Value returns what a reference (bridge.IsReference) stands for.
	Value(reference string, use bridge.SecretUse) (bridge.Secret, error)
	// ReadFile reads a file of the tenant's part of the secrets directory.
	ReadFile(tenant, name string) ([]byte, error)
	// Stat describes the file that ReadFile would read.
	Stat(tenant, name string) (fs.FileInfo, error)
}

// memberError says why a member of a record cannot be used now.
type memberError struct {
	member string
	err    error
}

func (e *memberError) Error() string { return e.member + ": " + e.err.Error() }
func (e *memberError) Unwrap() error { return e.err }

var errNoSecrets = errors.New("refers to what this program was not given; references need a secrets store")

// sources are where a record gets what does not stand in it, and which of its
// files were read.
type sources struct {
	secrets Secrets // nil: records must hold everything themselves
	record  *bridge.Subscription
	files   map[string]fs.FileInfo // as they were right before they were read
}

// secret returns the value of a secret member that is sent to host.
func (s *sources) secret(member, host string, value bridge.Secret) (string, error) {
	ref := value.Reveal()
	if !bridge.IsReference(ref) {
		return ref, nil
	}
	if s.secrets == nil {
		return "", &memberError{member, errNoSecrets}
	}
	if name, ok := strings.CutPrefix(ref, bridge.RefFile); ok {
		s.note(name)
	}
	resolved, err := s.secrets.Value(ref, bridge.SecretUse{Subscription: s.record.ID, Tenant: s.record.Tenant, Host: host})
	if err != nil {
		return "", &memberError{member, err}
	}
	switch text := resolved.Reveal(); {
	case text == "":
		return "", &memberError{member, errors.New("refers to an empty value")}
	case strings.ContainsFunc(text, unicode.IsControl):
		return "", &memberError{member, errors.New("refers to a value with a line break or control character in it")}
	default:
		return text, nil
	}
}

// file reads a file that a member names.
func (s *sources) file(member, name string) ([]byte, error) {
	if s.secrets == nil {
		return nil, &memberError{member, errNoSecrets}
	}
	s.note(name)
	data, err := s.secrets.ReadFile(s.record.Tenant, name)
	if err != nil {
		return nil, &memberError{member, err}
	}
	return data, nil
}

func (s *sources) note(name string) {
	if s.files == nil {
		s.files = map[string]fs.FileInfo{}
	}
	info, err := s.secrets.Stat(s.record.Tenant, name)
	if err != nil {
		info = nil
	}
	s.files[name] = info
}

// changed reports whether one of the files is no longer what was read.
func (s *sources) changed() bool {
	for name, was := range s.files {
		is, err := s.secrets.Stat(s.record.Tenant, name)
		if err != nil || was == nil || !os.SameFile(is, was) || is.Size() != was.Size() || !is.ModTime().Equal(was.ModTime()) {
			return true
		}
	}
	return false
}

// named puts the name of a file before what is wrong with it.
func named(member, file, format string, args ...any) error {
	return &memberError{member, fmt.Errorf("file %q %w", file, fmt.Errorf(format, args...))}
}
