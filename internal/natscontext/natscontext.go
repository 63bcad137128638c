// Package natscontext reads the contexts of the program nats: what
// `nats context save` wrote. docs/decisions/0017-nats-contexts.md says why it is
// not done by a library.
package natscontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"orderbridge/internal/limits"
)

// Settings of a context. Paths are those of files that can be opened as they
// stand: ~ and variables are replaced.
type Settings struct {
	URL         string `json:"url"`
	User        string `json:"user"`
	Password    string `json:"password"`
	Creds       string `json:"creds"`
	NKey        string `json:"nkey"`
	UserJWT     string `json:"user_jwt"`
	UserSeed    string `json:"user_seed"`
	Token       string `json:"token"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
	CA          string `json:"ca"`
	TLSFirst    bool   `json:"tls_first"`
	SocksProxy  string `json:"socks_proxy"`
	InboxPrefix string `json:"inbox_prefix"`
	Domain      string `json:"jetstream_domain"`
	APIPrefix   string `json:"jetstream_api_prefix"`

	NSC       string `json:"nsc"`
	CertStore string `json:"windows_cert_store"`
}

// Read returns the context of that name, or in the file if name is an absolute
// path. Of several credentials it keeps the one that nats takes. No error shows
// a secret.
func Read(name string) (Settings, error) {
	path, err := find(name)
	if err != nil {
		return Settings{}, err
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Settings{}, fmt.Errorf("there is no context %q of the program nats: no file %s%s", name, path, others(path))
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read context %q: %w", name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limits.ContextFileBytes+1))
	if err != nil {
		return Settings{}, fmt.Errorf("read context %q: %w", name, err)
	}
	var s Settings
	switch {
	case len(content) > limits.ContextFileBytes:
		err = errors.New("it is larger than 1 MiB")
	default:
		err = parse(content, &s)
	}
	if err != nil {
		return Settings{}, fmt.Errorf("context %q (%s): %w", name, path, err)
	}
	return s, nil
}

func find(name string) (string, error) {
	switch {
	case filepath.IsAbs(name):
		return name, nil
	case name == "" || strings.Contains(name, "..") || strings.ContainsAny(name, `/\`):
		return "", fmt.Errorf("%q is not a valid context name: use one that `nats context ls` shows, or the absolute path of its file", name)
	}
	dir, err := directory()
	if err != nil {
		return "", fmt.Errorf("find context %q: %w; set HOME or XDG_CONFIG_HOME, or give the absolute path of its file", name, err)
	}
	return filepath.Join(dir, name+".json"), nil
}

// directory is where contexts are.
func directory() (string, error) {
	parent := os.Getenv("XDG_CONFIG_HOME")
	if parent == "" {
		home, err := homeOf()
		if err != nil {
			return "", err
		}
		parent = filepath.Join(home, ".config")
	}
	return filepath.Join(parent, "nats", "context"), nil
}

// Names are those of the contexts that there are, in order.
func Names() []string {
	dir, err := directory()
	if err != nil {
		return nil
	}
	return namesIn(dir)
}

func namesIn(dir string) (names []string) {
	found, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil
	}
	for _, f := range found {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".json"))
	}
	slices.Sort(names)
	return names
}

// homeOf is the home directory as nats takes it: that of the user, whatever HOME says.
func homeOf() (string, error) {
	if u, err := user.Current(); err == nil && u.HomeDir != "" {
		return u.HomeDir, nil
	}
	return os.UserHomeDir()
}

// others names the contexts that there are instead.
func others(path string) string {
	const most = 10
	names := namesIn(filepath.Dir(path))
	if len(names) == 0 {
		return "; make it with `nats context save`"
	}
	return "; there are " + strings.Join(names[:min(most, len(names))], ", ")
}

func parse(content []byte, s *Settings) error {
	if err := json.Unmarshal(content, s); err != nil {
		return fmt.Errorf("it is not what `nats context save` writes: %w", err)
	}
	switch {
	case s.URL == "":
		return errors.New("it has no url: set one with `nats context edit`")
	case s.NSC != "":
		return errors.New("its credentials come from nsc, which is not run here: put them into a file with `nsc generate creds`, and its path into creds")
	case s.CertStore != "":
		return errors.New("its certificates come from a Windows certificate store, which is not read here: give cert, key and ca")
	case (s.UserJWT == "") != (s.UserSeed == ""):
		return errors.New("user_jwt and user_seed mean nothing without each other: set both or none")
	}
	s.choose()
	for _, path := range []*string{&s.Creds, &s.NKey, &s.Cert, &s.Key, &s.CA} {
		if err := expand(path); err != nil {
			return err
		}
	}
	for member, value := range map[string]*string{"password": &s.Password, "token": &s.Token, "user_jwt": &s.UserJWT,
		"user_seed": &s.UserSeed} {
		if err := fetch(value); err != nil {
			return fmt.Errorf("%s: %w", member, err)
		}
	}
	return nil
}

// choose keeps the credentials that the program nats takes where there are several.
func (s *Settings) choose() {
	switch {
	case s.User != "":
		s.Creds, s.NKey, s.UserJWT, s.UserSeed, s.Token = "", "", "", "", ""
	case s.Creds != "":
		s.NKey, s.UserJWT, s.UserSeed, s.Token = "", "", "", ""
	case s.NKey != "":
		s.UserJWT, s.UserSeed, s.Token = "", "", ""
	case s.UserJWT != "":
		s.Token = ""
	}
}

// expand makes a path of what nats takes for one.
func expand(path *string) error {
	p := os.ExpandEnv(strings.TrimPrefix(*path, "file://"))
	if scheme := foreign(p); scheme != "" {
		return fmt.Errorf("a file of it comes from %s, which is not read here: give a path", scheme)
	}
	if rest, ok := strings.CutPrefix(p, "~"); ok {
		home, err := homeOf()
		if err != nil {
			return fmt.Errorf("replace ~: %w", err)
		}
		p = home + rest
	}
	*path = p
	return nil
}

// fetch replaces a reference by what it refers to.
func fetch(value *string) error {
	if name, ok := strings.CutPrefix(*value, "env://"); ok {
		text, set := os.LookupEnv(name)
		if !set {
			return fmt.Errorf("it is the variable %s, which is not set", name)
		}
		*value = text
		return nil
	}
	if path, ok := strings.CutPrefix(*value, "file://"); ok {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := io.ReadAll(io.LimitReader(f, limits.ContextFileBytes))
		*value = strings.TrimSpace(string(content))
		return err
	}
	if scheme := foreign(*value); scheme != "" {
		return fmt.Errorf("it comes from %s, which is not asked here: write the value, env://NAME or file://PATH", scheme)
	}
	return nil
}

// foreign is the scheme of a value that nats fetches from other programs.
func foreign(value string) string {
	for _, scheme := range []string{"op://", "nsc://", "data:"} {
		if strings.HasPrefix(value, scheme) {
			return scheme
		}
	}
	return ""
}
