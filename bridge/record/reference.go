package record

import (
	"encoding/base64"
	"errors"
	"fmt"
	"path"
	"strings"

	"orderbridge/internal/limits"
)

// What a reference begins with.
const (
	RefEnv    = "env:"    // then the name of an environment variable
	RefFile   = "file:"   // then the name of a file of the tenant's part of the secrets directory
	RefSealed = "sealed:" // then what `orderbridge secrets seal` made
)

const envSecrets = "ORDERBRIDGE_SECRET_"

// What the names of the variables and files end in that say who may get a
// secret. They are not secrets themselves: no record may refer to them.
const (
	EnvHosts   = "_HOSTS"   // where the variable may go
	EnvTenants = "_TENANTS" // whose records may refer to it; NoTenant: those without
	FileHosts  = ".hosts"   // where the file may go
	NoTenant   = "-"
)

// SecretUse is what a secret is used for. Confinement goes by it: a reference
// leads only to what this record may send to these hosts.
type SecretUse struct {
	Subscription string
	Tenant       string // of the record, so it says itself; "" if it has none
	// Hosts get the secret, or what is made of it, as of SecretHost. A client
	// secret has two: the token goes to the host of the target.
	Hosts []string
}

// RefusedSecret says that a secret is not for this use. The record cannot be
// used until the operator, who gave the secret, says otherwise.
type RefusedSecret struct{ Reason string }

func (e *RefusedSecret) Error() string { return e.Reason }

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
		name := value[len(RefEnv):]
		if isPolicy(name) {
			return fmt.Errorf("refers to a variable that says who may get a secret; name the secret itself, without %s or %s at its end", EnvHosts, EnvTenants)
		}
		if !mayReadEnv(tenant, name) {
			return fmt.Errorf("refers to a variable that this record may not read; name one that begins with %s", EnvPrefix(tenant))
		}
	case strings.HasPrefix(value, RefFile):
		if err := CheckFileName(tenant, value[len(RefFile):]); err != nil {
			return fmt.Errorf("refers to a file, but its name %w", err)
		}
	case strings.HasPrefix(value, RefSealed):
		if _, err := base64.RawURLEncoding.DecodeString(value[len(RefSealed):]); err != nil || value == RefSealed {
			return errors.New("is not a sealed value; make one with `orderbridge secrets seal`")
		}
	default:
		return errors.New("is not a reference")
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

// isPolicy reports whether the variable is one that says who may get another.
func isPolicy(name string) bool {
	name = strings.ToUpper(name)
	return strings.HasSuffix(name, EnvHosts) || strings.HasSuffix(name, EnvTenants)
}

// SaysTenant reports whether the name of a variable may be that of a tenant's
// secret: ORDERBRIDGE_SECRET_ and more than one word. Records without tenant
// may refer to it only where its …_TENANTS says so.
func SaysTenant(name string) bool {
	return strings.Contains(strings.TrimPrefix(name, envSecrets), "_")
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
	case len(name) > limits.SecretFileNameBytes:
		return fmt.Errorf("has %d bytes; at most %d are allowed", len(name), limits.SecretFileNameBytes)
	case strings.HasSuffix(strings.ToLower(name), FileHosts):
		return errors.New("is that of a file which says where another may go; name the secret itself")
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
