package bridge

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"
)

// What a reference begins with.
const (
	RefEnv    = "env:"    // then the name of an environment variable
	RefFile   = "file:"   // then the name of a file of the tenant's part of the secrets directory
	RefSealed = "sealed:" // then what `orderbridge secrets seal` made
)

const (
	maxReference = 4096 // characters; a sealed value is the longest
	maxFileName  = 255
	envSecrets   = "ORDERBRIDGE_SECRET_"
)

// SecretUse is what a secret is used for. Confinement goes by it: a reference
// leads only to what this record may send to this host.
type SecretUse struct {
	Subscription string
	Tenant       string // of the record; "" if it has none
	Host         string // that gets the secret, as of SecretHost
}

// IsReference reports whether a secret value of a record only tells where the
// value stands: env:NAME, file:NAME or sealed:….
func IsReference(value string) bool {
	return strings.HasPrefix(value, RefEnv) || strings.HasPrefix(value, RefFile) || strings.HasPrefix(value, RefSealed)
}

// CheckReference returns what is wrong with a reference in a record of the
// tenant, nil if nothing. It reads nothing. The error does not show the value:
// it may be a secret that only looks like a reference.
func CheckReference(tenant, value string) error {
	switch {
	case strings.HasPrefix(value, RefEnv):
		if !mayReadEnv(tenant, value[len(RefEnv):]) {
			return fmt.Errorf("refers to a variable that this record may not read; name one that begins with %s", EnvPrefix(tenant))
		}
	case strings.HasPrefix(value, RefFile):
		if err := CheckFileName(tenant, value[len(RefFile):]); err != nil {
			return fmt.Errorf("refers to a file, but its name %w", err)
		}
	case strings.HasPrefix(value, RefSealed):
		if _, err := base64.RawURLEncoding.DecodeString(value[len(RefSealed):]); err != nil || value == RefSealed {
			return errors.New("is no sealed value; make one with `orderbridge secrets seal`")
		}
	default:
		return errors.New("is no reference")
	}
	return nil
}

// EnvPrefix begins the names of the variables that records of the tenant may
// refer to: ORDERBRIDGE_SECRET_<TENANT>_, the tenant in upper case and each -
// and _ of it as __; without tenant ORDERBRIDGE_SECRET_. What follows begins
// with no _, so that no tenant reads what belongs to one with a longer name.
func EnvPrefix(tenant string) string {
	if tenant == "" {
		return envSecrets
	}
	return envSecrets + strings.NewReplacer("-", "__", "_", "__").Replace(strings.ToUpper(tenant)) + "_"
}

func mayReadEnv(tenant, name string) bool {
	rest, ok := strings.CutPrefix(name, EnvPrefix(tenant))
	return ok && rest != "" && rest[0] != '_' && isSafeEnv(rest)
}

func isSafeEnv(name string) bool {
	return strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_')
	}) < 0
}

// CheckFileName returns what is wrong with the name of a file in a record of
// the tenant, nil if nothing. Names are relative to the tenant's part of the
// secrets directory, <directory>/<tenant>; records without tenant have the
// files that lie in the directory itself.
func CheckFileName(tenant, name string) error {
	switch {
	case name == "":
		return errors.New("is empty; give the name of a file in the secrets directory")
	case len(name) > maxFileName:
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(name), maxFileName)
	case hasControl(name) || strings.Contains(name, `\`):
		return errors.New("holds a control character or a backslash; use letters, digits, - _ . and /")
	case strings.HasPrefix(name, "/"):
		return errors.New("is absolute; give it relative to the tenant's part of the secrets directory")
	case path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return errors.New("leads out of its directory, or around in it; give the plain name")
	case tenant == "" && strings.Contains(name, "/"):
		return errors.New("holds a slash: a record without tenant has only the files that lie in the secrets directory itself")
	}
	return nil
}
