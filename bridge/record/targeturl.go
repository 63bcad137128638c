package record

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

const (
	schemeAndHost = `^[hH][tT][tT][pP][sS]?://[0-9A-Za-z._:\[\]-]+`
	urlCharacter  = `[^\s\x00-\x1f\x7f-\x9f{}<>#]`
	placeholder   = `(?:\{(?:orderId|legacyOrderId)\}|<(?:orderId|legacyOrderId)>)`
)

var targetURL = value{
	schema: fragment{
		{"type", "string"}, {"maxLength", limits.RecordURL},
		{"pattern", schemeAndHost + `(?:[/?](?:` + urlCharacter + `|` + placeholder + `)*)?$`},
	},
	read: (*recordReader).targetURL,
	url:  true,
}

// plainURL is a URL that is the same for every event.
var plainURL = form[string]{
	schema: fragment{
		{"type", "string"}, {"maxLength", limits.RecordURL}, {"pattern", schemeAndHost + `(?:[/?]` + urlCharacter + `*)?$`},
	},
	read: func(r *recordReader, field string, v gjson.Result) (string, bool) {
		s, ok := r.text(field, v, limits.RecordURL)
		if ok && strings.ContainsAny(s, "{}<>") {
			r.fail(field, "has a placeholder or bracket; it is the same URL for every event")
			return "", false
		}
		return s, ok && r.url(field, s)
	},
	url: true,
}

func (r *recordReader) targetURL(field string, v gjson.Result) {
	target, ok := r.text(field, v, limits.RecordURL)
	if !ok {
		return
	}
	authority, rest := splitURL(target)
	if strings.ContainsAny(authority, "{}<>") {
		r.fail(field, "has a placeholder or bracket in its host; placeholders may stand in path and query only")
		return
	}
	if r.url(field, target) {
		r.hasTarget = r.placeholders(field, rest)
		r.s.TargetURL = target
	}
}

// url checks an absolute URL and whether the operator permits it.
func (r *recordReader) url(field, target string) bool {
	// The text of a parse error is not shown: it can hold a password.
	u, err := url.Parse(target)
	switch {
	case strings.ContainsFunc(target, unicode.IsSpace):
		r.fail(field, "holds a space; write it as %%20")
	case err != nil:
		r.fail(field,
			"cannot be read as a URL; "+
				"write it like https://host/path, other characters percent-encoded (%%25 for a percent sign)")
	case u.User != nil:
		r.fail(field, "holds user info (the part before @); put user name and password into auth")
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		r.fail(field, "must be an absolute URL like https://host/path")
	case strings.Contains(target, "#"):
		r.fail(field, "has a fragment (#…), which is never sent; remove it, or write %%23")
	case !isHost(u.Hostname()) || !isPort(u.Port()):
		r.fail(field,
			"has the host %s, which is not a host name or address with a port of 1 to 65535; "+
				"write other alphabets as xn--…", quote(u.Host))
	default:
		return r.plainHost(field, u.Hostname()) && r.permitted(field, u)
	}
	return false
}

// plainHost refuses addresses that are written as not everybody reads them: a
// proxy or a resolver would make another host of them than the guard.
func (r *recordReader) plainHost(field, host string) bool {
	switch addr, number, plain := HostAddress(host); {
	case !number || plain:
		return true
	case addr.IsValid():
		r.fail(field,
			"has the host %s, which is another way to write the address %s; write the address so, or a name",
			quote(host), addr.WithZone(""))
	default:
		r.fail(field,
			"has the host %s, which ends in a number but is not an address; write the address as four numbers, or a name",
			quote(host))
	}
	return false
}

// permitted names every permission that a URL lacks.
func (r *recordReader) permitted(field string, u *url.URL) bool {
	before := r.errors
	if u.Scheme == "http" && !r.policy.AllowHTTP && !(r.policy.AllowHTTPLoopback && isLoopback(u.Hostname())) {
		r.fail(field, "is http://%s; use https, or let the operator permit http with ORDERBRIDGE_ALLOW_HTTP=true", u.Host)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && r.policy.CheckAddress != nil {
		if err := r.policy.CheckAddress(addr); err != nil {
			r.fail(field, "%s", err)
		}
	}
	return r.errors == before
}

// splitURL splits behind scheme and authority.
func splitURL(s string) (authority, rest string) {
	begin := 0
	if i := strings.Index(s, "//"); i >= 0 {
		begin = i + 2
	}
	if i := strings.IndexAny(s[begin:], "/?#"); i >= 0 {
		return s[:begin+i], s[begin+i:]
	}
	return s, ""
}

// placeholders checks what stands in {} and <> in path and query.
func (r *recordReader) placeholders(field, s string) bool {
	if i := strings.Index(strings.ToLower(s), "%7borderid%7d"); i >= 0 {
		r.warn(field,
			"holds %s, which is sent as it stands; for the order id write {orderId}", s[i:i+len("%7borderid%7d")])
	}
	for {
		i := strings.IndexAny(s, "{}<>")
		if i < 0 {
			return true
		}
		closing := map[byte]string{'{': "}", '<': ">"}[s[i]]
		if closing == "" {
			r.fail(field, "has a %q without its opening bracket; percent-encode it if it is meant as it stands", s[i])
			return false
		}
		name, after, closed := strings.Cut(s[i+1:], closing)
		if !closed {
			r.fail(field, "has a %q without its closing bracket; percent-encode it if it is meant as it stands", s[i])
			return false
		}
		if name != "orderId" && name != "legacyOrderId" {
			r.fail(field,
				"has the unknown placeholder %s; known are {orderId} and {legacyOrderId}", quote(s[i:i+len(name)+2]))
			return false
		}
		r.hasPlaceholder = true
		s = after
	}
}

func isHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Zone() == ""
	}
	return len(host) <= 253 && strings.Trim(host, ".-_") != "" && strings.IndexFunc(host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
	}) < 0
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
