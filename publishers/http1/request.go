package http1

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Request is what is sent. It is not changed, and may be sent again.
type Request struct {
	Method  string
	Origin  Origin
	Target  string        // path and query, as they are sent
	Fields  []Field       // in the order in which they are sent; User-Agent comes before all others
	Body    []byte        // nil: none; POST and PUT then have an empty one
	Tenant  string        // whose idle connections may be used
	Connect time.Duration // within which a new connection must be there; 0: only the context bounds it
	Notes   *Notes        // are made of the exchange; nil: none
}

// Field is a header field.
type Field struct{ Name, Value string }

// Key is what requests must have in common to share connections.
type Key struct {
	Tenant string
	Scheme string // http or https
	Addr   string // host:port, as it is dialed
}

// Origin is what the URLs of one server have in common.
type Origin struct {
	scheme string
	addr   string // host:port, as it is dialed
	host   string // as it is named in a request
	err    error  // it cannot be asked, and why
}

// OriginOf is the origin of a URL. One that cannot be asked is an origin too:
// the error is that of each request to it.
func OriginOf(u *url.URL) (Origin, error) {
	o := Origin{scheme: u.Scheme}
	host, err := httpguts.PunycodeHostPort(u.Hostname())
	port := u.Port()
	switch {
	case err != nil || host == "":
		o.err = fmt.Errorf("host %q cannot be asked", u.Host)
	case u.Scheme != "http" && u.Scheme != "https":
		o.err = fmt.Errorf("scheme %q is neither https nor http", u.Scheme)
	default:
		o.host, o.err = hostField(u)
	}
	switch {
	case o.err != nil:
		return o, &RequestError{o.err}
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	o.addr = net.JoinHostPort(host, port)
	return o, nil
}

// Addr is the host:port that is dialed.
func (o Origin) Addr() string { return o.addr }

// connectionFields are those that the client writes itself, or that would change
// what the connection means; and all that begin with Proxy-.
var connectionFields = []string{
	"Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer", "TE", "Connection", "Keep-Alive", "Upgrade",
	"HTTP2-Settings", "Expect",
}

func ofConnection(name string) bool {
	for _, own := range connectionFields {
		if len(name) == len(own) && strings.EqualFold(name, own) {
			return true
		}
	}
	const proxy = "Proxy-"
	return len(name) > len(proxy) && strings.EqualFold(name[:len(proxy)], proxy)
}

// append writes the request, head and body, to b. Sorted by name, the fields are
// in the order in which net/http sends them: firewalls and recorded tests see it.
func (r *Request) append(b []byte) ([]byte, error) {
	for i := range len(r.Target) {
		if r.Target[i] <= ' ' || r.Target[i] == 0x7f {
			return nil, errors.New("the URL holds a blank or control character")
		}
	}
	switch {
	case r.Origin.err != nil:
		return nil, r.Origin.err
	case r.Origin.addr == "":
		return nil, errors.New("it has no origin")
	case r.Target == "":
		return nil, errors.New("it has no target")
	case !isTokenString(r.Method):
		return nil, fmt.Errorf("%q is not an HTTP method", r.Method)
	}
	b = append(append(append(b, r.Method...), ' '), r.Target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), r.Origin.host...)
	b = append(b, "\r\n"...)
	const agent = "User-Agent"
	var err error
	for _, f := range r.Fields {
		if f.Name == agent {
			if b, err = appendField(b, agent, f.Value); err != nil {
				return nil, err
			}
		}
	}
	if len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(r.Body)), 10), "\r\n"...)
	}
	for _, f := range r.Fields {
		switch {
		case f.Name == agent:
			continue
		case ofConnection(f.Name) || !isTokenString(f.Name):
			return nil, fmt.Errorf("header %q cannot be sent: it belongs to the connection, or is not a name", f.Name)
		}
		if b, err = appendField(b, f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return append(append(b, "\r\n"...), r.Body...), nil
}

func appendField(b []byte, name, value string) ([]byte, error) {
	value = strings.Trim(value, " \t")
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return nil, fmt.Errorf("header %q holds a control character", name) // its value may be a secret
		}
	}
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...), nil
}

func isTokenString(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != ""
}

// hostField is the authority as it stands in the URL: names in punycode, no zone
// of an address, no empty port.
func hostField(u *url.URL) (string, error) {
	host, err := httpguts.PunycodeHostPort(strings.TrimSuffix(u.Host, ":"))
	if err != nil || host == "" || !httpguts.ValidHostHeader(host) {
		return "", fmt.Errorf("host %q cannot stand in a request", u.Host)
	}
	if end := strings.LastIndexByte(host, ']'); host[0] == '[' && end > 0 {
		if zone := strings.LastIndexByte(host[:end], '%'); zone > 0 {
			host = host[:zone] + host[end:]
		}
	}
	return host, nil
}
