package openid

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"orderbridge/internal/limits"
	"orderbridge/internal/safetext"
)

// discover asks the provider what it is, once in a while. One asks, others wait;
// after a failure nobody asks for a moment, whoever knocks.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if p.found != nil && now.Sub(p.found.at) < limits.OpenIDKeep {
		return p.found, nil
	}
	if p.why != nil && now.Sub(p.tried) < limits.OpenIDRetry {
		return p.known(p.why)
	}
	// Who asked first may go away; others wait for the answer.
	ctx = oidc.ClientContext(context.WithoutCancel(ctx), p.client)
	found := &discovered{at: now}
	var err error
	if found.Provider, err = oidc.NewProvider(ctx, p.o.Issuer); err == nil {
		if err = found.Claims(&found.says); err == nil {
			err = p.fit(found)
		}
	}
	if err != nil {
		p.tried, p.why = p.o.Now(), p.failed("its description", err)
		return p.known(p.why)
	}
	found.keys = oidc.NewRemoteKeySet(ctx, found.says.KeysURL)
	p.found, p.why = found, nil
	return found, nil
}

// known is what was found before, while the provider cannot be asked.
func (p *Provider) known(err error) (*discovered, error) {
	if p.found != nil {
		return p.found, nil
	}
	return nil, err
}

// fit holds the addresses against what they are for: a browser goes to some, and
// secrets to others.
func (p *Provider) fit(d *discovered) error {
	for name, address := range map[string]string{"authorization_endpoint": d.says.AuthURL, "token_endpoint": d.says.TokenURL,
		"jwks_uri": d.says.KeysURL, "userinfo_endpoint": d.says.UserURL, "end_session_endpoint": d.says.LogoutURL} {
		optional := name == "userinfo_endpoint" || name == "end_session_endpoint"
		if address == "" && optional {
			continue
		}
		u, err := url.Parse(address)
		secure := strings.HasPrefix(p.o.Issuer, "https://")
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (secure || u.Scheme != "http") {
			return fmt.Errorf("its %s %q is not an address to go to", name, short(address))
		}
	}
	return nil
}

// failed logs what a provider did, and says it in words that hold nothing of it.
func (p *Provider) failed(what string, err error, secrets ...string) error {
	var refused *oauth2.RetrieveError
	text := err.Error()
	if errors.As(err, &refused) { // its own words would be the whole body
		text = strings.TrimSpace(refused.ErrorCode + " " + refused.ErrorDescription)
		if refused.Response != nil {
			text = refused.Response.Status + " " + text
		}
	}
	p.o.Log.Warn("openid: the provider did not do what was asked", "issuer", p.o.Issuer, "asked", what, "error", p.words(text, secrets...))
	return fmt.Errorf("%s cannot be asked for %s at the moment (the log says why); log in with a token, or try again", p.Name(), what)
}

// words are those of a provider, for the log: it may have put into them what it was
// sent, which is taken out.
func (p *Provider) words(text string, secrets ...string) string {
	if own := p.o.ClientSecret.Reveal(); own != "" {
		basic := url.QueryEscape(p.o.ClientID) + ":" + url.QueryEscape(own)
		secrets = append(secrets, own, base64.StdEncoding.EncodeToString([]byte(basic)))
	}
	const least = 4 // what is shorter is no secret, and stands in words
	for _, secret := range secrets {
		if len(secret) >= least {
			text = strings.NewReplacer(secret, "[secret]", url.QueryEscape(secret), "[secret]").Replace(text)
		}
	}
	return short(text)
}

// short is text of others that may stand in a line.
func short(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + " …"
	}
	return safetext.Lines(text)
}

// bounded reads no more of an answer than a provider has to say.
type bounded struct{ under http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.under.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{resp.Body, limits.OpenIDBytes}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int
}

// Read implements io.Reader.
func (b *boundedBody) Read(to []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", limits.OpenIDBytes)
	}
	n, err := b.ReadCloser.Read(to[:min(len(to), b.left)])
	b.left -= n
	return n, err
}
