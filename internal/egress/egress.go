// Package egress decides which addresses the program may dial. It looks at the
// address after resolution, in the dialer itself, so that the address that was
// checked is the address that is dialed and a name that resolves differently
// the second time gains nothing.
package egress

import (
	"fmt"
	"net/netip"
	"syscall"
)

// Setting is the name of the variable with which an operator allows more.
const Setting = "ORDERBRIDGE_EGRESS_ALLOW"

// Policy says what may be dialed: every public unicast address, and of the
// others what Allow names. The zero value allows public addresses only.
type Policy struct {
	Allow []netip.Prefix // addresses of any class that are allowed
	Dev   bool           // loopback is allowed as well, and nothing more
}

// Error refuses an address.
type Error struct {
	Addr  netip.Addr
	Class string // of the address, e.g. "loopback"
}

func (e *Error) Error() string {
	network := ", or its network,"
	if e.Class == metadata || e.Class == linkLocal {
		network = ""
	}
	return fmt.Sprintf("address %s is %s and not allowed; to allow it add %s/%d%s to %s", e.Addr, e.Class, e.Addr,
		e.Addr.BitLen(), network, Setting)
}

// Check returns nil if the address may be dialed, else an *Error. An IPv4
// address that is mapped into IPv6 is what the system dials as IPv4 and is
// judged as such.
func (p Policy) Check(addr netip.Addr) error {
	addr = addr.Unmap().WithZone("")
	class := Class(addr)
	if class == Public {
		return nil
	}
	if p.allowed(addr, class) {
		if v4 := carried(addr); !v4.IsValid() {
			return nil
		} else if c := Class(v4); c != metadata && c != linkLocal || p.allowed(v4, c) || p.allowed(addr, metadata) {
			return nil // the last: it is named by itself
		}
	}
	if p.Dev && class == Loopback {
		return nil
	}
	return &Error{Addr: addr, Class: class}
}

func (p Policy) allowed(addr netip.Addr, class string) bool {
	for _, prefix := range p.Allow {
		if allows(prefix, addr, class) {
			return true
		}
	}
	return false
}

// Control is for net.Dialer.Control: it checks the resolved address right
// before it is dialed.
func (p Policy) Control(network, address string, _ syscall.RawConn) error {
	switch network {
	case "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6":
	default:
		return fmt.Errorf("network %q is not allowed: only TCP and UDP are", network)
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q is not an IP address and port", address)
	}
	return p.Check(ap.Addr())
}

// Classes that callers tell apart; the others are names for people.
const (
	Public   = "public"
	Loopback = "loopback"
)

// Class names the class of an address by the special-purpose registries of
// IANA: Public for global unicast, else what it is. Forms of IPv6 that carry an
// IPv4 address inside (NAT64, 6to4, Teredo and others) are never public: where
// they lead is decided elsewhere.
func Class(addr netip.Addr) string {
	if !addr.IsValid() {
		return "invalid"
	}
	addr = addr.Unmap().WithZone("")
	ranges := special6
	if addr.Is4() {
		ranges = special4
	}
	for _, r := range ranges {
		if r.prefix.Contains(addr) {
			return r.class
		}
	}
	if addr.Is6() && !global6.Contains(addr) {
		return "reserved"
	}
	return Public
}

type special struct {
	prefix netip.Prefix
	class  string
}

// What is delegated as global unicast of IPv6; all else is reserved.
var global6 = netip.MustParsePrefix("2000::/3")

// The first range that holds an address names it: narrow ones stand before wide ones.
var (
	special4 = table(
		"0.0.0.0/32", "unspecified",
		"0.0.0.0/8", "this network",
		"10.0.0.0/8", "private",
		"100.100.100.200/32", metadata,
		"100.64.0.0/10", "carrier-grade NAT",
		"127.0.0.0/8", Loopback,
		"168.63.129.16/32", metadata,
		"169.254.169.254/32", metadata,
		"169.254.170.2/32", metadata,
		"169.254.170.23/32", metadata,
		"169.254.0.0/16", linkLocal,
		"172.16.0.0/12", "private",
		"192.0.0.192/32", metadata,
		"192.0.0.0/24", "protocol assignments",
		"192.0.2.0/24", "documentation",
		"192.31.196.0/24", "AS112",
		"192.52.193.0/24", "AMT relay",
		"192.88.99.0/24", "6to4 relay",
		"192.168.0.0/16", "private",
		"192.175.48.0/24", "AS112",
		"198.18.0.0/15", "benchmarking",
		"198.51.100.0/24", "documentation",
		"203.0.113.0/24", "documentation",
		"224.0.0.0/4", "multicast",
		"255.255.255.255/32", "broadcast",
		"240.0.0.0/4", "reserved",
	)
	special6 = table(
		"::/128", "unspecified",
		"::1/128", Loopback,
		"::ffff:0:0/96", "IPv4-mapped",
		"::/96", "IPv4-compatible",
		"::ffff:0:0:0/96", "IPv4-translated",
		"64:ff9b::/96", "NAT64",
		"64:ff9b:1::/48", "NAT64",
		"100::/64", "discard-only",
		"100:0:0:1::/64", "dummy prefix",
		"2001::/32", "Teredo",
		"2001:2::/48", "benchmarking",
		"2001:10::/28", "ORCHID",
		"2001:20::/28", "ORCHID",
		"2001:db8::/32", "documentation",
		"2001::/23", "protocol assignments",
		"2002::/16", "6to4",
		"2620:4f:8000::/48", "AS112",
		"3ffe::/16", "6bone, returned",
		"3fff::/20", "documentation",
		"5f00::/16", "segment routing",
		"fd00:ec2::/32", metadata,
		"fd20:ce::254/128", metadata,
		"fc00::/7", "private",
		"fe80::a9fe:a9fe/128", metadata,
		"fe80::/10", linkLocal,
		"fec0::/10", "site-local",
		"ff00::/8", "multicast",
	)
)

func table(pairs ...string) []special {
	out := make([]special, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, special{netip.MustParsePrefix(pairs[i]), pairs[i+1]})
	}
	return out
}
