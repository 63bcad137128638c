package config

import (
	"net"
	"net/url"
	"strings"

	"orderbridge/bridge/record"
)

// OIDC is the OpenID provider where people may log in to the console; none where
// Issuer is empty.
type OIDC struct {
	Issuer       string        `desc:"URL of an OpenID provider where people may log in to the console, exactly as it names itself; empty: only tokens let in"`
	ClientID     string        `split_words:"true" desc:"client that the bridge is there"`
	ClientSecret record.Secret `split_words:"true" desc:"secret of the client; empty: it is a public one, for which PKCE vouches alone"`
	PublicURL    string        `split_words:"true" desc:"the console as browsers reach it, as in https://bridge.example.com/; it is the redirect URI, and the one after logging out, to be entered at the provider"`
	Scopes       List          `default:"profile" desc:"scopes that are asked for beside openid, separated by commas"`
	RoleClaim    string        `split_words:"true" default:"orderbridge_role" desc:"claim that gives somebody a role: operator, operator:read, tenant or tenant:read; without one nobody gets in. a.b is b in a"`
	TenantClaim  string        `split_words:"true" default:"orderbridge_tenant" desc:"claim that names the tenant of the roles tenant and tenant:read"`
}

// checkOIDC is for logging in at an OpenID provider.
func (c *Config) checkOIDC(k *checker) {
	o := c.OIDC
	if o.Issuer == "" {
		for name, value := range map[string]string{"OIDC_CLIENT_ID": o.ClientID, "OIDC_CLIENT_SECRET": o.ClientSecret.Reveal(),
			"OIDC_PUBLIC_URL": o.PublicURL} {
			if value != "" {
				k.wrong(name, "is set, but ORDERBRIDGE_OIDC_ISSUER is not", "set both or none")
			}
		}
		return
	}
	if !c.webURL(o.Issuer) {
		k.wrong("OIDC_ISSUER", "is not the URL of an OpenID provider", "write it as https://login.example.com, exactly as the provider names itself (`issuer`); http:// only with ORDERBRIDGE_ALLOW_HTTP or, on loopback, ORDERBRIDGE_DEV")
	}
	if o.ClientID == "" {
		k.wrong("OIDC_CLIENT_ID", "is empty", "enter the bridge at the provider as a client, and give its client id")
	}
	if !c.webURL(o.PublicURL) || !strings.HasSuffix(o.PublicURL, "/") {
		k.wrong("OIDC_PUBLIC_URL", "is not the address of the console", "write it as browsers reach it, with a / at its end: https://bridge.example.com/")
	}
	for name, claim := range map[string]string{"OIDC_ROLE_CLAIM": o.RoleClaim, "OIDC_TENANT_CLAIM": o.TenantClaim} {
		if claim == "" {
			k.wrong(name, "is empty", "give the name of a claim")
		}
	}
	for _, scope := range o.Scopes {
		if !tokenText.MatchString(scope) && !strings.HasPrefix(scope, "https://") {
			k.wrong("OIDC_SCOPES", "holds what is not a scope", "write them as profile,email")
		}
	}
}

// webURL is true for a URL that browsers may be sent to, without more than a path.
func (c *Config) webURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && (c.AllowHTTP || c.Dev && loopback(net.JoinHostPort(u.Hostname(), "0")))
}
