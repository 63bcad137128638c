package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"

	"orderbridge/bridge"
)

// sealed is what a sealed value holds: it is of use to this subscription and
// this host only.
type sealed struct {
	Subscription string `json:"subscription"`
	Host         string `json:"host"`
	Value        string `json:"value"`
}

// NewIdentity makes a pair of keys: the contents of an identity file, which is
// secret, and the public key that values are sealed with.
func NewIdentity(now time.Time) (file []byte, recipient string, err error) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, "", fmt.Errorf("make a key: %w", err)
	}
	recipient = identity.Recipient().String()
	return fmt.Appendf(nil, "# made %s\n# public key: %s\n%s\n", now.UTC().Format(time.RFC3339), recipient, identity), recipient, nil
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
// towards one host (bridge.SecretHost of its URL); the tenant does not matter.
func Seal(recipient string, use bridge.SecretUse, value bridge.Secret) (string, error) {
	to, err := age.ParseRecipients(strings.NewReader(recipient))
	if err != nil {
		return "", errors.New("this is no public key of age; it begins with age1")
	}
	content, err := json.Marshal(sealed{use.Subscription, use.Host, value.Reveal()})
	if err != nil {
		return "", fmt.Errorf("seal: %w", err)
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
	return bridge.RefSealed + base64.RawURLEncoding.EncodeToString(out.Bytes()), nil
}

func (s *Store) unseal(text string, use bridge.SecretUse) (bridge.Secret, error) {
	if s.o.IdentityFile == "" {
		return "", errors.New("is sealed, but there is no key to open it; the operator names one with ORDERBRIDGE_SEALING_KEY_FILE")
	}
	identities, err := readIdentities(s.o.IdentityFile)
	if err != nil {
		return "", fmt.Errorf("is sealed, but the operator's %w", err)
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("is no sealed value; make one with `orderbridge secrets seal`")
	}
	r, err := age.Decrypt(bytes.NewReader(data), identities...)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch):
		return "", errors.New("is sealed for another key; seal it again with the present public key")
	case err != nil:
		return "", errors.New("is a sealed value that is damaged; seal it again")
	}
	content, err := io.ReadAll(io.LimitReader(r, maxValue))
	var v sealed
	if err != nil || json.Unmarshal(content, &v) != nil {
		return "", errors.New("is a sealed value that is damaged; seal it again")
	}
	if v.Subscription != use.Subscription || v.Host != use.Host || v.Host == "" {
		return "", fmt.Errorf("is sealed for another subscription or host; seal it again with --subscription %s --host %s", use.Subscription, use.Host)
	}
	return bridge.Secret(v.Value), nil
}

func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("sealing key cannot be read: %w", err)
	}
	defer f.Close()
	identities, err := age.ParseIdentities(io.LimitReader(f, 64<<10))
	if err != nil { // its text can show the line, which is the key
		return nil, fmt.Errorf("sealing key in %s cannot be read: it is no identity file of age", path)
	}
	return identities, nil
}
