package record

import (
	"net/netip"
	"strconv"
	"strings"
)

// HostAddress reads a host of a URL as the most lenient resolvers do (inet_aton
// and the URL standard of browsers): one to four numbers, decimal, octal or
// hexadecimal, the last of which fills up the rest. number reports whether it
// is one at all, that is whether its last part is a number: no name ends so.
// addr is what it means, invalid if it means nothing; plain reports whether it
// is written in the one way that everybody reads alike.
func HostAddress(host string) (addr netip.Addr, number, plain bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, true, addr.Zone() == ""
	}
	parts := strings.Split(strings.TrimRight(host, "."), ".")
	last := parts[len(parts)-1]
	if _, ok := hostNumber(last); !ok && (last == "" || strings.Trim(last, "0123456789") != "") {
		return netip.Addr{}, false, false
	}
	if len(parts) > 4 {
		return netip.Addr{}, true, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := hostNumber(part)
		most := uint64(255)
		if i == len(parts)-1 {
			most = 1<<(8*(5-len(parts))) - 1
		}
		if !ok || n > most {
			return netip.Addr{}, true, false
		}
		if i == len(parts)-1 {
			value |= n
		} else {
			value |= n << (8 * (3 - i))
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true, false
}

// hostNumber is a part of an address: 0x… is hexadecimal, 0… octal.
func hostNumber(s string) (n uint64, ok bool) {
	base, digits := 10, s
	switch {
	case len(s) >= 2 && s[0] == '0' && s[1]|0x20 == 'x':
		if base, digits = 16, s[2:]; digits == "" {
			return 0, true
		}
	case len(s) >= 2 && s[0] == '0':
		base, digits = 8, s[1:]
	}
	if digits == "" || strings.Trim(digits, "0123456789abcdefABCDEF") != "" {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, base, 64)
	return n, err == nil
}

// IsLocalName reports whether a host is a name of the machine itself: everybody
// answers it so, or should (RFC 6761).
func IsLocalName(host string) bool {
	host = strings.ToLower(strings.TrimRight(host, "."))
	switch host {
	case "localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback", "loopback":
		return true
	}
	return strings.HasSuffix(host, ".localhost")
}
