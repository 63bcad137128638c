package secrets

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"orderbridge/internal/limits"
)

// A pattern says where a secret may go: erp.example.com, *.example.com,
// 10.0.0.5, [fd00::5], each with a port if it is meant for that one only, and
// with http:// before it where the connection may be a plain one.
type pattern struct {
	plain bool       // http, else https
	name  string     // lower case, without a dot at its end; "" where addr stands
	below bool       // name is what stands behind *.
	addr  netip.Addr // of a host that is an address
	port  string     // "": any
}

// parseHosts reads patterns that stand between commas or white space. One that
// is wrong makes all of them wrong: what is meant to bind must not be guessed.
func parseHosts(text string) ([]pattern, error) {
	words := strings.FieldsFunc(text,
		func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
	if len(words) > limits.SecretHosts {
		return nil, fmt.Errorf("has %d hosts; at most %d are allowed", len(words), limits.SecretHosts)
	}
	patterns := make([]pattern, 0, len(words))
	for _, word := range words {
		p, err := parsePattern(word)
		if err != nil {
			return nil, fmt.Errorf("holds %s, which %w", quote(word), err)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

func quote(s string) string { return strconv.Quote(s[:min(len(s), 80)]) }

var errPattern = errors.New("is not a host; write it as erp.example.com, erp.example.com:8443, *.example.com, 10.0.0.5 or [fd00::5]:8443, with http:// before it for a plain connection")

func parsePattern(text string) (p pattern, err error) {
	rest := strings.ToLower(text)
	if after, ok := strings.CutPrefix(rest, "http://"); ok {
		p.plain, rest = true, after
	} else {
		rest = strings.TrimPrefix(rest, "https://")
	}
	rest = strings.TrimSuffix(rest, "/")
	host, port, ok := splitPort(rest)
	if !ok {
		return p, errPattern
	}
	p.port = port
	if addr, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		if addr.Zone() != "" {
			return p, errPattern
		}
		p.addr = addr.Unmap()
		return p, nil
	}
	if after, ok := strings.CutPrefix(host, "*."); ok {
		p.below, host = true, after
	}
	if strings.Contains(host, "*") {
		return p, errors.New("has its * elsewhere than at its beginning, as in *.example.com; what may go anywhere is not a secret")
	}
	if p.name, err = plainName(host); err != nil {
		return p, errPattern
	}
	if p.below && !strings.Contains(p.name, ".") {
		return p, errors.New("stands for too many hosts; write it as *.example.com")
	}
	return p, nil
}

// splitPort tells host and port apart; an address of IPv6 has brackets where a
// port follows.
func splitPort(s string) (host, port string, ok bool) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, "", true
	}
	host = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:i], strings.TrimLeft(s[i+1:], "0")
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", "", false
		}
	}
	if strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") ||
		strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
		return "", "", false
	}
	return host, port, true
}

// plainName is a host name as it is compared: lower case, other alphabets as
// xn--…, without a dot at its end.
func plainName(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	for i := range len(host) {
		if host[i] >= 0x80 {
			name, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", err
			}
			host = strings.ToLower(name)
			break
		}
	}
	if host == "" || len(host) > 253 || strings.HasPrefix(host, ".") || strings.HasSuffix(host, ".") ||
		strings.Contains(host, "..") ||
		strings.IndexFunc(host, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_')
		}) >= 0 {
		return "", errPattern
	}
	return host, nil
}

// permits reports whether a secret may go to a host, which is written as of
// record.SecretHost. A plain connection must be named as such, unless it does
// not leave the machine.
func (p pattern) permits(host string) bool {
	rest, plain := strings.CutPrefix(host, "http://")
	name, port, ok := splitPort(rest)
	if !ok {
		return false
	}
	if port == "" {
		port = map[bool]string{true: "80", false: "443"}[plain]
	}
	if p.port != "" && p.port != port {
		return false
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	isAddr := err == nil
	if p.plain != plain && !(plain && isAddr && addr.Unmap().IsLoopback()) {
		return false
	}
	if isAddr {
		return p.addr.IsValid() && p.addr == addr.Unmap()
	}
	name, err = plainName(strings.ToLower(name))
	switch {
	case err != nil || p.addr.IsValid():
		return false
	case p.below:
		return strings.HasSuffix(name, "."+p.name)
	}
	return name == p.name
}

// first returns the first host that none of the patterns permits; "" if each is.
func first(patterns []pattern, hosts []string) string {
	for _, host := range hosts {
		ok := false
		for _, p := range patterns {
			ok = ok || p.permits(host)
		}
		if !ok {
			if host == "" {
				return "nowhere"
			}
			return host
		}
	}
	return ""
}
