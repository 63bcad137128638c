package http1

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Request is what is sent. It is not changed, and may be sent again.
type Request struct {
	Method string
	URL    *url.URL
	Header map[string][]string // names in their canonical form
	Body   []byte              // nil: none; POST and PUT then have an empty one
	Tenant string              // whose idle connections may be used
}

// Key is what requests must have in common to share connections.
type Key struct {
	Tenant string
	Scheme string // http or https
	Addr   string // host:port, as it is dialed
}

func (r *Request) key() (Key, error) {
	addr, err := Addr(r.URL)
	return Key{r.Tenant, r.URL.Scheme, addr}, err
}

// Addr is the host:port that is dialed for a URL.
func Addr(u *url.URL) (string, error) {
	host, err := httpguts.PunycodeHostPort(u.Hostname())
	if err != nil || host == "" {
		return "", fmt.Errorf("host %q cannot be asked", u.Host)
	}
	port := u.Port()
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("scheme %q is neither https nor http", u.Scheme)
	case port == "" && u.Scheme == "https":
		port = "443"
	case port == "":
		port = "80"
	}
	return net.JoinHostPort(host, port), nil
}

// ours are the fields that the client writes itself, or that would change what
// the connection means.
var ours = map[string]bool{
	"Host": true, "User-Agent": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true, "Te": true,
	"Connection": true,
	"Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authorization": true, "Upgrade": true, "Http2-Settings": true,
	"Expect": true,
}

// append writes the request, head and body, to b: in the order in which net/http
// does it, since firewalls and recorded tests see it.
func (r *Request) append(b []byte) ([]byte, error) {
	target := r.URL.RequestURI()
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return nil, errors.New("the URL holds a blank or control character")
		}
	}
	host, err := hostField(r.URL)
	if err != nil {
		return nil, err
	}
	if !isTokenString(r.Method) {
		return nil, fmt.Errorf("%q is not an HTTP method", r.Method)
	}
	b = append(append(append(b, r.Method...), ' '), target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	b = append(b, "\r\n"...)
	if agent := r.Header["User-Agent"]; len(agent) > 0 {
		if b, err = appendField(b, "User-Agent", agent[0]); err != nil {
			return nil, err
		}
	}
	if len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" {
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, int64(len(r.Body)), 10), "\r\n"...)
	}
	var space [32]string
	names := space[:0]
	for name := range r.Header {
		if name != "User-Agent" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if ours[name] || !isTokenString(name) {
			return nil, fmt.Errorf("header %q cannot be sent: it belongs to the connection, or is not a name", name)
		}
		for _, value := range r.Header[name] {
			if b, err = appendField(b, name, value); err != nil {
				return nil, err
			}
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
