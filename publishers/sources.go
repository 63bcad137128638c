package publishers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unicode"

	"orderbridge/bridge/record"
)

// Secrets reads what records only refer to, and confines each record to what
// is its tenant's and may go to its hosts. Its errors hold no secret; a
// *record.RefusedSecret says that a secret is not for this use.
type Secrets interface {
	// Value returns what a reference (record.IsReference) stands for, and what is
	// unwise about it.
	Value(reference string, use record.SecretUse) (value record.Secret, warning string, err error)
	// ReadKey reads a file of the tenant's part of the secrets directory that
	// holds a private key.
	ReadKey(name string, use record.SecretUse) ([]byte, error)
	// ReadCertificates reads one of which nothing but certificates is used.
	ReadCertificates(name string, use record.SecretUse) ([]byte, error)
	// Stat describes such a file, and what says where it may go (nil: nothing).
	Stat(tenant, name string) (file, hosts fs.FileInfo, err error)
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
	secrets  Secrets // nil: records must hold everything themselves
	record   *record.Subscription
	files    map[string]sourceFile // as they were right before they were read
	warnings record.Problems
}

// sourceFile is a file and what says where it may go.
type sourceFile struct{ file, hosts fs.FileInfo }

func (s *sources) use(hosts []string) record.SecretUse {
	return record.SecretUse{Subscription: s.record.ID, Tenant: s.record.Tenant, Hosts: hosts}
}

// secret returns the value of a secret member.
func (s *sources) secret(member string, value record.Secret) (string, error) {
	ref := value.Reveal()
	if !record.IsReference(ref) {
		return ref, nil
	}
	if s.secrets == nil {
		return "", &memberError{member, errNoSecrets}
	}
	if name, ok := strings.CutPrefix(ref, record.RefFile); ok {
		s.note(name)
	}
	resolved, warning, err := s.secrets.Value(ref, s.use(s.record.SecretHosts(member)))
	if err != nil {
		return "", &memberError{member, err}
	}
	if warning != "" {
		s.warnings = append(s.warnings, record.Problem{Field: member, Message: warning, Warning: true})
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

// certificates reads a file that a member names for its certificates.
func (s *sources) certificates(member, name string) ([]byte, error) {
	return s.file(member, name, nil, Secrets.ReadCertificates)
}

// key reads a file that a member names for its private key, which proves to the
// hosts who we are.
func (s *sources) key(member, name string, hosts []string) ([]byte, error) {
	return s.file(member, name, hosts, Secrets.ReadKey)
}

func (s *sources) file(member, name string, hosts []string,
	read func(Secrets, string, record.SecretUse) ([]byte, error)) ([]byte, error) {
	if s.secrets == nil {
		return nil, &memberError{member, errNoSecrets}
	}
	s.note(name)
	data, err := read(s.secrets, name, s.use(hosts))
	if err != nil {
		return nil, &memberError{member, err}
	}
	return data, nil
}

func (s *sources) note(name string) {
	if s.files == nil {
		s.files = map[string]sourceFile{}
	}
	file, hosts, err := s.secrets.Stat(s.record.Tenant, name)
	if err != nil {
		file, hosts = nil, nil
	}
	s.files[name] = sourceFile{file, hosts}
}

// changed reports whether one of the files, or where it may go, is no longer
// what was read.
func (s *sources) changed() bool {
	for name, was := range s.files {
		file, hosts, err := s.secrets.Stat(s.record.Tenant, name)
		if err != nil || !sameFile(file, was.file) || (hosts != nil || was.hosts != nil) && !sameFile(hosts, was.hosts) {
			return true
		}
	}
	return false
}

func sameFile(a, b fs.FileInfo) bool {
	return a != nil && b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// named puts the name of a file before what is wrong with it.
func named(member, file, format string, args ...any) error {
	return &memberError{member, fmt.Errorf("file %q %w", file, fmt.Errorf(format, args...))}
}
