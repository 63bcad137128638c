package egress

import (
	"encoding/binary"
	"net/netip"
)

// Metadata services give whoever asks them the credentials of the machine, and
// what is link-local is the machine's own neighbourhood. A range that is meant
// for something else does not open them: metadata only an address by itself,
// link-local only a range that lies within it.

// Classes that wide ranges do not open.
const (
	metadata  = "cloud metadata"
	linkLocal = "link-local"
)

var linkLocals = []netip.Prefix{netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10")}

// allows reports whether an allowed prefix opens an address of the class.
func allows(prefix netip.Prefix, addr netip.Addr, class string) bool {
	// 0.0.0.0/96-style mapped prefixes name the same addresses.
	if a := prefix.Addr(); a.Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(a.Unmap(), prefix.Bits()-96)
	}
	if !prefix.Contains(addr) {
		return false
	}
	switch class {
	case metadata:
		return prefix.IsSingleIP()
	case linkLocal:
		for _, l := range linkLocals {
			if l.Contains(prefix.Addr()) && prefix.Bits() >= l.Bits() {
				return true
			}
		}
		return false
	}
	return true
}

var (
	sixToFour = netip.MustParsePrefix("2002::/16")
	teredo    = netip.MustParsePrefix("2001::/32")
	inside    = []netip.Prefix{ // with an IPv4 address in the last 32 bits
		netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96"),
		netip.MustParsePrefix("::ffff:0:0:0/96"),
	}
)

// carried is the IPv4 address to which a form of IPv6 leads; invalid if to none.
func carried(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return netip.Addr{}
	}
	b := addr.As16()
	if sixToFour.Contains(addr) {
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	if teredo.Contains(addr) {
		var v4 [4]byte
		binary.BigEndian.PutUint32(v4[:], ^binary.BigEndian.Uint32(b[12:]))
		return netip.AddrFrom4(v4)
	}
	for _, p := range inside {
		if p.Contains(addr) {
			return netip.AddrFrom4([4]byte(b[12:]))
		}
	}
	return netip.Addr{}
}

// Wide says what an allowed range holds that it does not open, or opens beside
// what is likely meant; "" if nothing has to be said.
func Wide(prefix netip.Prefix) string {
	most := 8 // bits: 10.0.0.0/8 is what companies have
	if prefix.Addr().Is6() && !prefix.Addr().Is4In6() {
		most = 7 // fc00::/7
	}
	if prefix.Bits() < most {
		return "opens loopback and every private network in it; cloud metadata and link-local addresses stay closed unless each is named by itself"
	}
	if prefix.IsSingleIP() {
		if c := Class(prefix.Addr()); c == metadata {
			return "opens a cloud metadata service, which gives whoever asks it the credentials of the machine"
		}
		return ""
	}
	for _, special := range [][]special{special4, special6} {
		for _, s := range special {
			if s.class == metadata && prefix.Contains(s.prefix.Addr()) {
				return "holds cloud metadata addresses, which stay closed unless each is named by itself"
			}
		}
	}
	return ""
}
