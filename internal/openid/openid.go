// Package openid lets people log in at an OpenID provider of the operator's: by
// the authorization code flow with PKCE. It finds out who somebody is and which
// role the provider gives them; what a role may do others decide.
package openid

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Options of a Provider. All are required, except where it is said.
type Options struct {
	Issuer       string // as the provider writes it: https://login.example.com
	ClientID     string
	ClientSecret record.Secret // "": a public client
	// PublicURL is the console's page as browsers see it, ending in /. It is the
	// redirect URI, and where the provider sends people who have logged out.
	PublicURL   string
	Scopes      []string // beside openid; may be empty
	RoleClaim   string
	TenantClaim string
	Proxy       *url.URL // nil: none
	// DialControl is asked before each dial. May be nil.
	DialControl func(network, address string, c syscall.RawConn) error
	Roots       *x509.CertPool // nil: those of the system
	Log         *slog.Logger
	Now         func() time.Time // default time.Now
}

// Provider is the one that the operator has named. Safe for concurrent use.
type Provider struct {
	o      Options
	client *http.Client

	mu    sync.Mutex
	found *discovered
	tried time.Time // when discovery failed last
	why   error
}

// discovered is what the provider says of itself.
type discovered struct {
	*oidc.Provider
	at   time.Time
	keys oidc.KeySet
	says struct {
		AuthURL    string   `json:"authorization_endpoint"`
		TokenURL   string   `json:"token_endpoint"`
		KeysURL    string   `json:"jwks_uri"`
		UserURL    string   `json:"userinfo_endpoint"`
		LogoutURL  string   `json:"end_session_endpoint"`
		AuthBy     []string `json:"token_endpoint_auth_methods_supported"`
		SignsBy    []string `json:"id_token_signing_alg_values_supported"`
		TellsIssue bool     `json:"authorization_response_iss_parameter_supported"`
	}
}

// Attempt is a login under way: what its answer is held against.
type Attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Begun    int64  `json:"b"` // s since 1970
}

// Refusal is why somebody does not get in, in words for them.
type Refusal struct{ Reason string }

func (e *Refusal) Error() string { return e.Reason }

func refusal(format string, args ...any) error { return &Refusal{fmt.Sprintf(format, args...)} }

// New makes no request yet.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	dialer := &net.Dialer{Timeout: limits.OpenIDTime, Control: o.DialControl}
	transport := &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, TLSHandshakeTimeout: limits.OpenIDTime,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		MaxIdleConns:    2, MaxConnsPerHost: limits.OpenIDLogins, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: limits.HTTPHeaderBytes,
	}
	if o.Proxy != nil {
		transport.Proxy = http.ProxyURL(o.Proxy)
		dialer.Control = nil // it is the proxy that is dialed, which resolves the names
	}
	return &Provider{o: o, client: &http.Client{
		Transport: bounded{transport}, Timeout: limits.OpenIDTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Name is what people know the provider by: its host.
func (p *Provider) Name() string {
	u, err := url.Parse(p.o.Issuer)
	if err != nil {
		return p.o.Issuer
	}
	return u.Host
}

// Secure tells whether browsers reach the console over TLS.
func (p *Provider) Secure() bool { return strings.HasPrefix(p.o.PublicURL, "https://") }

// Settings is a text that is another one where what the operator has set is
// another: which provider, which client, which claims.
func (p *Provider) Settings() string {
	return strings.Join([]string{p.o.Issuer, p.o.ClientID, p.o.RoleClaim, p.o.TenantClaim}, "\x00")
}

// Begin starts a login: where to send the browser.
func (p *Provider) Begin(ctx context.Context) (address string, a Attempt, err error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", a, err
	}
	a = Attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Begun: p.o.Now().Unix()}
	config := p.config(d)
	return config.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), a, nil
}

// End holds what the provider has sent the browser back with against the attempt,
// and fetches who it is. Who does not get in is told by a *Refusal; another error
// is of the provider.
func (p *Provider) End(ctx context.Context, a Attempt, answer url.Values) (Person, error) {
	if err := p.check(a, answer); err != nil {
		return Person{}, err
	}
	d, err := p.discover(ctx)
	if err != nil {
		return Person{}, err
	}
	if iss := answer["iss"]; len(iss) == 1 && iss[0] != p.o.Issuer || len(iss) > 1 || len(iss) == 0 && d.says.TellsIssue {
		return Person{}, refusal("the answer does not come from %s; log in again", p.Name())
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.config(d).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Person{}, p.failed("the code of a login", err, answer.Get("code"), a.Verifier)
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Person{}, errors.New("the provider sent no id_token: is the client allowed the scope openid?")
	}
	keys := &keys{KeySet: d.keys}
	claims, err := p.verify(ctx, d, keys, raw, a.Nonce)
	if keys.unfetched != nil {
		return Person{}, p.failed("its keys", keys.unfetched, raw, token.AccessToken)
	}
	if err != nil {
		p.o.Log.Warn("openid: an id token is not good", "issuer", p.o.Issuer, "error", p.words(err.Error(), raw, token.AccessToken))
		return Person{}, refusal("what %s says of you is not good (the log says more); log in again", p.Name())
	}
	_, role := claims.find(p.o.RoleClaim)
	if _, tenant := claims.find(p.o.TenantClaim); !(role && tenant) && d.says.UserURL != "" {
		claims.add(p.userInfo(ctx, d, token, claims.text("sub")))
	}
	return p.person(claims)
}

// check is what can be held against the attempt without the provider.
func (p *Provider) check(a Attempt, answer url.Values) error {
	const again = "; log in again"
	age := p.o.Now().Sub(time.Unix(a.Begun, 0))
	switch {
	case a.State == "":
		return refusal("no login is under way here: it was begun in another browser, or its cookie is gone" + again)
	case len(answer["state"]) != 1 || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(a.State)) != 1:
		return refusal("the answer belongs to another login: was one begun in another window?" + again)
	case age > limits.OpenIDAttempt || age < -limits.OpenIDSkew:
		return refusal("the login took longer than %s%s", limits.OpenIDAttempt, again)
	case answer.Has("error"):
		text := cmp.Or(answer.Get("error_description"), answer.Get("error"))
		if answer.Get("error") == "access_denied" {
			return refusal("%s did not let you in: %s", p.Name(), short(text))
		}
		return refusal("%s answered with an error: %s: %s", p.Name(), short(answer.Get("error")), short(text))
	case len(answer["code"]) != 1 || answer.Get("code") == "":
		return refusal("%s sent no code%s", p.Name(), again)
	}
	return nil
}

// verify holds an id token against all that it must be.
func (p *Provider) verify(ctx context.Context, d *discovered, keys oidc.KeySet, raw, nonce string) (claims, error) {
	// A token is good for a little longer than it says, since clocks differ.
	now := func() time.Time { return p.o.Now().Add(-limits.OpenIDSkew) }
	config := &oidc.Config{ClientID: p.o.ClientID, Now: now, SupportedSigningAlgs: d.algorithms()}
	token, err := oidc.NewVerifier(p.o.Issuer, keys, config).Verify(ctx, raw)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := token.Claims(&c); err != nil {
		return nil, err
	}
	azp, _ := c["azp"].(string)
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1:
		return nil, errors.New("its nonce is that of another login")
	case azp != p.o.ClientID && (azp != "" || len(token.Audience) > 1):
		return nil, fmt.Errorf("it was issued to %q (azp), for %q", azp, token.Audience)
	case token.IssuedAt.After(p.o.Now().Add(limits.OpenIDSkew)):
		return nil, fmt.Errorf("it was issued at %s, which is not yet: do the clocks differ?", token.IssuedAt)
	case token.Subject == "":
		return nil, errors.New("it names nobody (sub)")
	}
	return c, nil
}

// keys are those of the provider. unfetched is why they could not be had, which says
// nothing of the token.
type keys struct {
	oidc.KeySet
	unfetched error
}

// VerifySignature implements oidc.KeySet.
func (k *keys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, jwt)
	if errors.Unwrap(err) != nil { // what is said of a token stands alone
		k.unfetched = err
	}
	return payload, err
}

// algorithms are those that the provider may sign by, of those with a public key.
func (d *discovered) algorithms() (all []string) {
	for _, known := range []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512,
		oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA} {
		if slices.Contains(d.says.SignsBy, known) {
			all = append(all, known)
		}
	}
	return all
}

// userInfo is what the provider says of somebody beside the id token; nothing
// where it cannot be had, or is of somebody else.
func (p *Provider) userInfo(ctx context.Context, d *discovered, token *oauth2.Token, subject string) claims {
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	var c claims
	if err == nil {
		err = info.Claims(&c)
	}
	if err == nil && info.Subject != subject {
		err = errors.New("it is of somebody else")
	}
	if err != nil {
		p.o.Log.Warn("openid: the user info is not good", "issuer", p.o.Issuer, "error", p.words(err.Error(), token.AccessToken))
		return nil
	}
	return c
}

// LogoutURL is where a browser ends its session at the provider; "" if the
// provider offers no such page, or cannot be asked.
func (p *Provider) LogoutURL(ctx context.Context) string {
	d, err := p.discover(ctx)
	if err != nil || d.says.LogoutURL == "" {
		return ""
	}
	u, err := url.Parse(d.says.LogoutURL)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set("client_id", p.o.ClientID)
	q.Set("post_logout_redirect_uri", p.o.PublicURL)
	u.RawQuery = q.Encode()
	return u.String()
}

func (p *Provider) config(d *discovered) *oauth2.Config {
	at := d.Endpoint()
	at.AuthStyle = oauth2.AuthStyleInHeader // what a provider takes that names none
	if by := d.says.AuthBy; p.o.ClientSecret == "" || len(by) > 0 && !slices.Contains(by, "client_secret_basic") {
		at.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: p.o.ClientID, ClientSecret: p.o.ClientSecret.Reveal(), Endpoint: at,
		RedirectURL: p.o.PublicURL, Scopes: append([]string{oidc.ScopeOpenID}, p.o.Scopes...)}
}
