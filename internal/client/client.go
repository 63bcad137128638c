// Package client asks the management API what a store.Catalog asks the bus: the
// commands work with either. What each method does and answers stands at the
// Catalog; the scope is that of the token, whatever a caller says.
package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/api"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// Options of a Client.
type Options struct {
	URL     string        // of the program: https://orderbridge.example.com, a path before /api/ may follow
	Token   record.Secret // that the API asks for
	CAFile  string        // PEM file of the authorities that are trusted, "": those of the system
	Version string        // of this program
}

// Client asks one server. Safe for concurrent use.
type Client struct {
	base    *url.URL
	token   record.Secret
	version string
	http    *http.Client
}

// New checks the options; nothing is asked yet.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	switch {
	case err != nil || base.Scheme != "https" && base.Scheme != "http" || base.Host == "":
		return nil, errors.New("the URL of the server begins with https:// or http:// and a host")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the URL of the server has no user, query or fragment; the token is given in a file")
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: limits.ClientTime,
		ResponseHeaderTimeout: limits.ClientTime, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: limits.ClientHeaderBytes,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if o.CAFile != "" {
		pem, err := readStart(o.CAFile, limits.CertificateFileBytes)
		if err != nil {
			return nil, fmt.Errorf("read the authorities of the server: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
	}
	return &Client{base: base, token: o.Token, version: o.Version, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the token goes nowhere else
	}}, nil
}

// readStart reads the first bytes of a file.
func readStart(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// Close ends the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// request is one to the API.
type request struct {
	method, path string // path with its escapes
	query        url.Values
	header       map[string]string
	body         []byte // nil: none
}

// do sends a request and reads the answer into into, unless that is nil.
func (c *Client) do(ctx context.Context, r request, into any) error {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limits.ClientTime)
	defer cancel()
	at := *c.base
	at.Path, at.RawPath = "", ""
	text := strings.TrimSuffix(at.String(), "/") + strings.TrimSuffix(c.base.EscapedPath(), "/") + r.path
	if len(r.query) > 0 {
		text += "?" + r.query.Encode()
	}
	var body io.Reader = http.NoBody
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, text, body)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	req.Header.Set("User-Agent", "orderbridge/"+c.version)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreached(begun, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, limits.ClientAnswerBytes+1))
	switch {
	case err != nil:
		return c.unreached(begun, err)
	case len(data) > limits.ClientAnswerBytes:
		return fmt.Errorf("the answer of %s has more than %d MiB", c.base.Host, limits.ClientAnswerBytes>>20)
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return fmt.Errorf("%s answers %d and refers elsewhere, where the token is not sent; give the URL of the API itself",
			c.base.Host, resp.StatusCode)
	case resp.StatusCode > 299:
		return c.problem(resp.StatusCode, data)
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(data, into); err != nil {
		return c.odd(err)
	}
	return nil
}

// ErrAway says that there was no answer, or that the server, or what stands before it,
// cannot give one at present: it may pass by itself.
var ErrAway = errors.New("the server gives no answer")

// away is an error that is ErrAway.
type away struct{ error }

func (a away) Unwrap() error      { return a.error }
func (away) Is(target error) bool { return target == ErrAway }

// unreached says why there was no answer, without what a URL may hold.
func (c *Client) unreached(begun time.Time, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var late net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &late) && late.Timeout() {
		return away{fmt.Errorf("%s gave no answer within %s", c.base.Host, time.Since(begun).Round(100*time.Millisecond))}
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		return fmt.Errorf("ask %s: %w; --server-ca (ORDERBRIDGE_SERVER_CA) names the file of a private authority", c.base.Host, err)
	}
	var untrusted *tls.CertificateVerificationError
	if err = fmt.Errorf("ask %s: %w", c.base.Host, err); errors.As(err, &untrusted) {
		return err
	}
	return away{err}
}

// whole is an error where an answer lacks what such an answer always has: it comes
// from something else than the API, or from another version of it.
func (c *Client) whole(has bool, err error) error {
	if err == nil && !has {
		return c.odd(errors.New("it lacks what such an answer has"))
	}
	return err
}

func (c *Client) odd(err error) error {
	return fmt.Errorf("the answer of %s cannot be read (is that the API of orderbridge, and of the same version?): %w", c.base.Host, err)
}

// Error is an answer of the API that is not a success, in its own words.
type Error struct {
	Status   int    // HTTP status
	Code     string // as the API has it, "" for most
	Detail   string
	Problems record.Problems // of a record
}

// Error implements error.
func (e *Error) Error() string {
	if len(e.Problems) > 0 {
		return e.Problems.Error()
	}
	return e.Detail
}

// Is makes an answer that the server, or what stands before it, cannot give at present ErrAway.
func (e *Error) Is(target error) bool {
	return target == ErrAway && e.Status >= http.StatusBadGateway && e.Status <= http.StatusGatewayTimeout
}

// Unwrap is what the Catalog would say.
func (e *Error) Unwrap() error {
	switch e.Code {
	case api.CodeNotFound:
		return protocol.ErrNotFound
	case api.CodeChanged:
		return store.ErrChanged
	case api.CodeRefused:
		return &store.RefusedError{Reason: e.Detail}
	case api.CodeNoLeader:
		return store.ErrNoLeader
	case api.CodeNoJudge:
		return store.ErrNoJudge
	}
	return nil
}

func (c *Client) problem(status int, body []byte) error {
	var p struct {
		Detail string          `json:"detail"`
		Code   string          `json:"code"`
		Errors record.Problems `json:"errors"`
	}
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		return &Error{Status: status, Detail: fmt.Sprintf("%s answers %d %s, not in the way of the API of orderbridge", c.base.Host, status,
			http.StatusText(status))}
	}
	return &Error{Status: status, Code: p.Code, Detail: p.Detail, Problems: p.Errors}
}

func (c *Client) get(ctx context.Context, path string, query url.Values, into any) error {
	return c.do(ctx, request{method: http.MethodGet, path: path, query: query}, into)
}

// post sends a value as JSON.
func (c *Client) post(ctx context.Context, path string, value, into any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.base.Host, err)
	}
	return c.do(ctx, request{method: http.MethodPost, path: path, body: body}, into)
}

// page is one page of a list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// pages calls fn for each item of a list, page by page.
func pages[T any](ctx context.Context, c *Client, path string, fn func(T) error) error {
	for after := ""; ; {
		var p page[T]
		if err := c.get(ctx, path, values("after", after, "limit", "500"), &p); err != nil {
			return err
		}
		for _, item := range p.Items {
			if err := fn(item); err != nil {
				return err
			}
		}
		if p.Next == "" {
			return nil
		}
		if p.Next == after {
			return fmt.Errorf("%s gives the same page of %s again", c.base.Host, path)
		}
		after = p.Next
	}
}

// values are parameters: names and values by turns; what is empty is left out.
func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}
