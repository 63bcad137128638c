package openid

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Person is who has logged in.
type Person struct {
	Subject string // what the provider calls them, for ever
	Name    string // for people, "" if it tells none; others may have the same
	Role
}

// Role is what the provider gives somebody.
type Role struct {
	Tenant string // "": all tenants
	Reads  bool   // it changes nothing
}

// The words of the role claim.
const (
	wordOperator       = "operator"
	wordOperatorReader = "operator:read"
	wordTenant         = "tenant"
	wordTenantReader   = "tenant:read"
)

// longestSubject is what OpenID Connect allows a provider: what is cut could be somebody else's.
const longestSubject = 255

var tenantName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`) // as tokens have it

// person finds who it is and which role they have. Nobody has one by default.
func (p *Provider) person(c claims) (Person, error) {
	found := Person{Subject: c.text("sub")}
	if len(found.Subject) > longestSubject || short(found.Subject) != found.Subject {
		return Person{}, refusal("what %s calls you (the claim sub) has more than %d characters, or some that cannot be shown", p.Name(), longestSubject)
	}
	for _, name := range []string{"preferred_username", "email", "name"} {
		if found.Name = c.text(name); found.Name != "" {
			found.Name = short(found.Name)
			break
		}
	}
	who := found.Name
	if who == "" {
		who = found.Subject
	}
	role, err := p.role(c)
	if err != nil {
		return Person{}, refusal("%s knows you as %s, but you have no role here: %v", p.Name(), who, err)
	}
	found.Role = role
	return found, nil
}

func (p *Provider) role(c claims) (r Role, err error) {
	value, _ := c.find(p.o.RoleClaim)
	var known []string
	for _, word := range texts(value) {
		switch word {
		case wordOperator, wordOperatorReader, wordTenant, wordTenantReader:
			if !slices.Contains(known, word) {
				known = append(known, word)
			}
		}
	}
	switch len(known) {
	case 1:
	case 0:
		return r, fmt.Errorf("the claim %s (ORDERBRIDGE_OIDC_ROLE_CLAIM) holds none; let the operator set it at the provider to %s, %s, %s or %s",
			p.o.RoleClaim, wordOperator, wordOperatorReader, wordTenant, wordTenantReader)
	default:
		return r, fmt.Errorf("the claim %s (ORDERBRIDGE_OIDC_ROLE_CLAIM) holds several, %s; let the operator leave one of them",
			p.o.RoleClaim, strings.Join(known, " and "))
	}
	r.Reads = known[0] == wordOperatorReader || known[0] == wordTenantReader
	if known[0] == wordOperator || known[0] == wordOperatorReader {
		return r, nil
	}
	value, _ = c.find(p.o.TenantClaim)
	tenants := texts(value)
	if len(tenants) != 1 || !tenantName.MatchString(tenants[0]) {
		return r, fmt.Errorf("the claim %s (ORDERBRIDGE_OIDC_TENANT_CLAIM) does not name one tenant; let the operator set it at the provider to 1 to 64 letters, digits, - and _",
			p.o.TenantClaim)
	}
	r.Tenant = tenants[0]
	return r, nil
}

// claims are what the provider says of somebody.
type claims map[string]any

// find finds a claim by its name or, of a claim in another, by its path, as in
// realm_access.roles.
func (c claims) find(name string) (any, bool) {
	if value, ok := c[name]; ok {
		return value, true
	}
	outer, inner, nested := strings.Cut(name, ".")
	if !nested {
		return nil, false
	}
	object, _ := c[outer].(map[string]any)
	return claims(object).find(inner)
}

func (c claims) text(name string) string {
	text, _ := c[name].(string)
	return text
}

// add takes over what is not there yet.
func (c claims) add(more claims) {
	for name, value := range more {
		if _, there := c[name]; !there {
			c[name] = value
		}
	}
}

// texts are those of a text, or of a list.
func texts(value any) (all []string) {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			text, ok := one.(string)
			if !ok {
				return nil
			}
			all = append(all, text)
		}
	}
	return all
}
