package callers

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Hosts are the names under which the program may be called. They keep a web
// page from reaching it under a name of its own that it had resolved to our
// address.
type Hosts struct {
	names []string
	any   bool
}

// NewHosts takes the operator's names; "*" is any.
func NewHosts(names []string) Hosts {
	var h Hosts
	for _, name := range names {
		h.any = h.any || name == "*"
		h.names = append(h.names, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	return h
}

// Know is true for addresses, localhost and the operator's names.
func (h Hosts) Know(hostPort string) bool {
	host := hostOf(hostPort)
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host != "" &&
		(h.any || host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(h.names, host))
}

// KnowHere is Know, and true for names that nobody can have in the public DNS:
// those without a dot, as of a compose file, those of a cluster's services, and
// those below .internal, which is kept for private use (host.docker.internal).
// What only reads figures may be asked under them.
func (h Hosts) KnowHere(hostPort string) bool {
	host := hostOf(hostPort)
	private := func(end string) bool { return strings.HasSuffix(host, end) }
	return h.Know(hostPort) ||
		host != "" && (!strings.Contains(host, ".") ||
			slices.ContainsFunc([]string{".svc", ".svc.cluster.local", ".internal"}, private))
}

func hostOf(hostPort string) string {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// OwnPage is false for what a browser sends for a page of another site. Programs
// that are not browsers send none of these headers.
func OwnPage(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
	default:
		return false
	}
	for _, name := range []string{"Origin", "Referer"} {
		values := r.Header.Values(name)
		if len(values) > 1 || len(values) == 1 && (name == "Origin" || values[0] != "") && !ownURL(values[0], r.Host) {
			return false
		}
	}
	return true
}

// ShyBrowser is true for a browser that hides which page a request is for: over
// plain http it sends no Sec-Fetch-Site, and the page may keep it from sending a
// Referer. What a GET changes must not be done for it.
func ShyBrowser(r *http.Request) bool {
	return strings.HasPrefix(r.UserAgent(), "Mozilla/") && r.Header.Get("Accept-Language") != "" &&
		r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" && r.Header.Get("Referer") == ""
}

func ownURL(raw, host string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(withoutPort(u.Host), withoutPort(host))
}

// withoutPort leaves out a default port, as browsers do.
func withoutPort(host string) string {
	return strings.TrimSuffix(strings.TrimSuffix(host, ":80"), ":443")
}
