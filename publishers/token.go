package publishers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"orderbridge/bridge/record"
)

// tokenSource gets access tokens by client credentials (contract C12): one is
// kept until it expires, and whoever needs one while it is fetched waits for it.
type tokenSource struct {
	config clientcredentials.Config // AuthStyle is left to style
	host   string                   // of the token server
	target *url.URL
	client *http.Client

	mu       sync.Mutex
	style    oauth2.AuthStyle // that worked; 0: none yet
	token    string
	until    time.Time // zero: for ever
	former   string    // the token before
	fetching *fetch
}

// fetch is a request for a token that others wait for.
type fetch struct {
	done  chan struct{}
	token string
	err   error
}

// tokenError is a token that could not be had.
type tokenError struct {
	host   string
	reason string // "" when the cause tells it
	err    error
	target *url.URL
}

func (e *tokenError) Error() string {
	if e.reason != "" {
		return "token server " + e.host + ": " + e.reason
	}
	return "token server " + e.host + ": " + e.err.Error()
}
func (e *tokenError) Unwrap() error { return e.err }

func newTokenSource(g record.Grant, transport http.RoundTripper, userAgent string) *tokenSource {
	return &tokenSource{
		config: clientcredentials.Config{ClientID: g.ClientID, ClientSecret: g.ClientSecret, TokenURL: g.TokenURL,
			Scopes: g.Scopes, EndpointParams: g.Parameters},
		host:   hostOf(g.TokenURL),
		target: urlOf(g.TokenURL),
		client: &http.Client{
			Transport:     tokenTransport{transport, userAgent},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

func hostOf(target string) string {
	if u := urlOf(target); u != nil {
		return u.Host
	}
	return ""
}

func urlOf(target string) *url.URL {
	u, err := url.Parse(target)
	if err != nil {
		return nil
	}
	return u
}

// get returns a token that is none of refused; "" refuses none.
func (t *tokenSource) get(ctx context.Context, refused string) (string, error) {
	for {
		t.mu.Lock()
		if t.token != "" && t.token != refused && (t.until.IsZero() || time.Now().Before(t.until)) {
			defer t.mu.Unlock()
			return t.token, nil
		}
		f := t.fetching
		if f == nil {
			f = &fetch{done: make(chan struct{})}
			t.fetching = f
			t.mu.Unlock()
			t.run(ctx, f)
			return f.token, f.err
		}
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", &tokenError{t.host, "", ctx.Err(), t.target}
		}
		// A caller that was cut off or out of time fails alone.
		if f.err == nil || !errors.Is(f.err, context.Canceled) && !errors.Is(f.err, context.DeadlineExceeded) {
			return f.token, f.err
		}
	}
}

// issued are the tokens that an answer may still hold.
func (t *tokenSource) issued() (tokens []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range []string{t.token, t.former} {
		if token != "" {
			tokens = append(tokens, token)
		}
	}
	return tokens
}

// run makes the request that others wait for.
func (t *tokenSource) run(ctx context.Context, f *fetch) {
	f.err = errors.New("the request for a token panicked")
	var until time.Time
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.fetching = nil
		if f.err == nil {
			if t.former = t.token; f.token == t.token {
				t.former = ""
			}
			t.token, t.until = f.token, until
		}
		close(f.done)
	}()
	f.token, until, f.err = t.fetch(ctx)
}

func (t *tokenSource) fetch(ctx context.Context) (string, time.Time, error) {
	t.mu.Lock()
	style := t.style
	t.mu.Unlock()
	token, err := t.request(ctx, style)
	if style == 0 && refusesClient(err) {
		// RFC 6749 wants the header, but some servers only know the body.
		style = oauth2.AuthStyleInParams
		token, err = t.request(ctx, style)
	}
	if err != nil {
		return "", time.Time{}, t.failure(ctx, err)
	}
	if !record.IsToken(token.AccessToken) {
		return "", time.Time{}, &tokenError{t.host, "sent a token that cannot stand in a header", nil, t.target}
	}
	if style != 0 {
		t.mu.Lock()
		t.style = style
		t.mu.Unlock()
	}
	until := token.Expiry
	if !until.IsZero() {
		// A token must not expire on its way.
		until = until.Add(-min(10*time.Second, time.Until(until)/10))
	}
	return token.AccessToken, until, nil
}

// request asks once; style 0 is the header.
func (t *tokenSource) request(ctx context.Context, style oauth2.AuthStyle) (*oauth2.Token, error) {
	config := t.config
	config.AuthStyle = style
	if style == 0 {
		config.AuthStyle = oauth2.AuthStyleInHeader
	}
	return config.Token(context.WithValue(ctx, oauth2.HTTPClient, t.client))
}

// refusesClient: the server answered that it does not know this client so; some
// say it with 200.
func refusesClient(err error) bool {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) || refused.Response == nil {
		return false
	}
	switch refused.Response.StatusCode {
	case http.StatusUnauthorized, http.StatusBadRequest:
		return true
	case http.StatusOK:
		return refused.ErrorCode == "invalid_client" || refused.ErrorCode == "invalid_request"
	}
	return false
}

func (t *tokenSource) failure(ctx context.Context, err error) error {
	var answered *oauth2.RetrieveError
	if errors.As(err, &answered) && answered.Response != nil {
		reason := strconv.Itoa(answered.Response.StatusCode) + " " + http.StatusText(answered.Response.StatusCode)
		switch {
		case answered.ErrorCode != "" && answered.ErrorDescription != "":
			reason += ": " + answered.ErrorCode + " (" + answered.ErrorDescription + ")"
		case answered.ErrorCode != "":
			reason += ": " + answered.ErrorCode
		case answered.Response.StatusCode >= 300 && answered.Response.StatusCode < 400:
			reason += " (redirects are not followed)"
		case len(answered.Body) > 0:
			reason += ": " + string(answered.Body)
		}
		return &tokenError{t.host, reason, nil, t.target}
	}
	if ctx.Err() != nil {
		return &tokenError{t.host, "", ctx.Err(), t.target}
	}
	var inURL *url.Error // its text holds the URL, query and all
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	return &tokenError{t.host, "", err, t.target}
}

// tokenTransport sends the requests of the oauth2 package as we send ours, and
// bounds what it reads.
type tokenTransport struct {
	next      http.RoundTripper
	userAgent string
}

func (t tokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", t.userAgent)
	r.Header.Set("Accept", "application/json")
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxResponseBody))
	_ = resp.Body.Close()
	if err != nil && len(body) == 0 {
		return nil, err
	}
	body, isJSON := tokenAnswer(body)
	if isJSON {
		resp.Header.Set("Content-Type", "application/json")
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}
