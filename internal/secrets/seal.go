package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// sealed is what a sealed value holds: it is of use to this subscription, in
// records of this tenant, and to these hosts only. What earlier versions have
// sealed holds one host and no tenant.
type sealed struct {
	Subscription string   `json:"subscription"`
	Host         string   `json:"host"`             // the first of Hosts, for earlier versions
	Hosts        []string `json:"hosts,omitempty"`  // nil: sealed by an earlier version
	Tenant       *string  `json:"tenant,omitempty"` // "": of records without tenant; nil: of any
	Value        string   `json:"value"`
}

// permits reports whether the value is for this use, and what is unwise about it.
func (v sealed) permits(use record.SecretUse) (warning string, ok bool) {
	if v.Subscription != use.Subscription || v.Host == "" || len(use.Hosts) == 0 ||
		v.Tenant != nil && *v.Tenant != use.Tenant {
		return "", false
	}
	if v.Hosts == nil {
		for _, host := range use.Hosts[1:] {
			if host != v.Host {
				warning = "was sealed by an earlier version, for the token server only: whoever may change this record can have its token sent elsewhere; renew the secret, and seal it with " + sealingFlags(use)
			}
		}
		return warning, v.Host == use.Hosts[0]
	}
	for _, host := range use.Hosts {
		if host == "" || !slices.Contains(v.Hosts, host) {
			return "", false
		}
	}
	return "", true
}

// sealingFlags are those of `orderbridge secrets seal` for a use.
func sealingFlags(use record.SecretUse) string {
	flags := "--subscription " + use.Subscription
	if use.Tenant != "" {
		flags += " --tenant " + use.Tenant
	}
	for i, host := range use.Hosts {
		if !slices.Contains(use.Hosts[:i], host) {
			flags += " --host " + host
		}
	}
	return flags
}

// NewIdentity makes a pair of keys: the contents of an identity file, which is
// secret, and the public key that values are sealed with.
func NewIdentity(now time.Time) (file []byte, recipient string, err error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	recipient = identity.Recipient().String()
	return fmt.Appendf(nil, "# made %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), recipient,
		identity), recipient, nil
}

// Recipients are the public keys of an identity file.
func Recipients(path string) ([]string, error) {
	identities, err := readIdentities(path)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, identity := range identities {
		switch i := identity.(type) {
		case *age.X25519Identity:
			keys = append(keys, i.Recipient().String())
		case *age.HybridIdentity:
			keys = append(keys, i.Recipient().String())
		}
	}
	return keys, nil
}

// Seal encrypts a value to the public key (age1…), for use by one subscription
// towards some hosts (record.SecretHost of their URLs), of one tenant ("": those
// without), or of any (nil).
func Seal(recipient string, use record.SecretUse, tenant *string, value record.Secret) (string, error) {
	if len(use.Hosts) == 0 {
		return "", errors.New("seal: no host is named")
	}
	var content bytes.Buffer
	enc := json.NewEncoder(&content)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(sealed{use.Subscription, use.Hosts[0], use.Hosts, tenant, value.Reveal()}); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return sealContent(recipient, content.Bytes())
}

func sealContent(recipient string, content []byte) (string, error) {
	to, err := age.ParseRecipients(strings.NewReader(recipient))
	if err != nil {
		return "", errors.New("this is not an age public key; it begins with age1")
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if _, err = w.Write(content); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	if err = w.Close(); err != nil {
		return "", fmt.Errorf("seal: %w", err)
	}
	return record.RefSealed + base64.RawURLEncoding.EncodeToString(out.Bytes()), nil
}

func (s *Store) unseal(text string, use record.SecretUse) (value record.Secret, warning string, err error) {
	if s.o.IdentityFile == "" {
		return "", "", errors.New("is sealed, but there is no key to open it; the operator names one with ORDERBRIDGE_SEALING_KEY_FILE")
	}
	identities, err := readIdentities(s.o.IdentityFile)
	if err != nil {
		return "", "", errors.New("is sealed, but the operator's sealing key, ORDERBRIDGE_SEALING_KEY_FILE, cannot be read")
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", "", errors.New("is not a sealed value; make one with `orderbridge secrets seal`")
	}
	r, err := age.Decrypt(bytes.NewReader(data), identities...)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return "", "", errors.New("is sealed for another key; seal it again with the present public key")
	case err != nil:
		return "", "", errors.New("is a sealed value that is damaged; seal it again")
	}
	content, err := io.ReadAll(io.LimitReader(r, limits.SecretBytes))
	var v sealed
	if err != nil || json.Unmarshal(content, &v) != nil {
		return "", "", errors.New("is a sealed value that is damaged; seal it again")
	}
	warning, ok := v.permits(use)
	if !ok {
		return "", "", refuse("is sealed for another subscription or host, or another tenant; seal it again with %s",
			sealingFlags(use))
	}
	return record.Secret(v.Value), warning, nil
}

func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sealing key cannot be read: %w", err)
	}
	defer f.Close()
	identities, err := age.ParseIdentities(io.LimitReader(f, 64<<10))
	if err != nil { // its text can show the line, which is the key
		return nil, fmt.Errorf("sealing key in %s cannot be read: it is not an age identity file", path)
	}
	return identities, nil
}
