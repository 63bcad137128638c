package callers

import (
	"net/http"
	"net/netip"
	"strings"

	"orderbridge/internal/limits"
)

// Network is what callers are counted by: an IPv4 address, or the /64 of an IPv6
// one, since whoever has one of these has all. The zero Prefix of no address.
func Network(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the zero one of no address
	return p
}

// Remote is the other end of a connection, as in http.Request.RemoteAddr; the
// zero Addr if it is not an address.
func Remote(hostPort string) netip.Addr {
	ap, _ := netip.ParseAddrPort(hostPort) // the zero one
	return ap.Addr().Unmap().WithZone("")
}

// Proxies are networks of proxies that tell for whom they ask.
type Proxies []netip.Prefix

func (p Proxies) has(ip netip.Addr) bool {
	for _, network := range p {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// Client is who has sent the request: the other end of the connection or, where
// that is one of the proxies, whom it names. The list of X-Forwarded-For or
// Forwarded is read from the right, as far as proxies of ours have written it;
// what stands left of that the caller may have made up. Where both
// headers are there and differ, or the name is not an address, it is the last proxy.
func (p Proxies) Client(r *http.Request) netip.Addr {
	remote := Remote(r.RemoteAddr)
	if !p.has(remote) {
		return remote
	}
	x, hasX := r.Header["X-Forwarded-For"]
	f, hasF := r.Header["Forwarded"]
	switch {
	case hasX && hasF:
		if a, b := p.walk(remote, listed(x), plainNode), p.walk(remote, listed(f), forwardedNode); a == b {
			return a
		}
		return remote
	case hasX:
		return p.walk(remote, listed(x), plainNode)
	case hasF:
		return p.walk(remote, listed(f), forwardedNode)
	}
	return remote
}

// walk goes through a list from the right.
func (p Proxies) walk(at netip.Addr, list []string, parse func(string) netip.Addr) netip.Addr {
	for range limits.APIForwards {
		if len(list) == 0 || !p.has(at) {
			return at
		}
		before := parse(list[len(list)-1])
		if !before.IsValid() {
			return at
		}
		at, list = before, list[:len(list)-1]
	}
	return at
}

func listed(values []string) []string {
	return strings.Split(strings.Join(values, ","), ",")
}

// plainNode reads an address of X-Forwarded-For, with or without a port.
func plainNode(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")); err == nil {
		return ip.Unmap().WithZone("")
	}
	return Remote(text)
}

// forwardedNode reads the for= of one element of Forwarded (RFC 7239).
func forwardedNode(element string) netip.Addr {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return plainNode(strings.Trim(value, `"`))
		}
	}
	return netip.Addr{}
}
