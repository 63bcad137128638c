package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestClass(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"8.8.8.8": Public, "1.1.1.1": Public, "9.255.255.255": Public, "11.0.0.0": Public,
		"100.63.255.255": Public, "100.128.0.0": Public, "172.15.255.255": Public, "172.32.0.0": Public,
		"192.167.255.255": Public, "192.169.0.0": Public, "198.17.255.255": Public, "198.20.0.0": Public,
		"223.255.255.255": Public, "126.255.255.255": Public, "128.0.0.0": Public,
		"2606:4700::1111": Public, "2a00:1450:4001:81b::200e": Public, "2000::1": Public,

		"0.0.0.0": "unspecified", "0.1.2.3": "this network",
		"127.0.0.1": Loopback, "127.255.255.254": Loopback, "::1": Loopback, "::ffff:127.0.0.1": Loopback,
		"10.0.0.0": "private", "10.255.255.255": "private", "172.16.0.0": "private", "172.31.255.255": "private",
		"192.168.0.1": "private", "::ffff:192.168.0.1": "private", "::ffff:10.1.2.3": "private",
		"fc00::1": "private", "fdff:ffff::1": "private",
		"100.64.0.1": "carrier-grade NAT", "100.127.255.255": "carrier-grade NAT",
		"169.254.0.1": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "febf::1": "link-local",
		"169.254.169.254": "cloud metadata", "::ffff:169.254.169.254": "cloud metadata", "fd00:ec2::254": "cloud metadata",
		"169.254.170.2": "cloud metadata", "100.100.100.200": "cloud metadata", "168.63.129.16": "cloud metadata",
		"fd20:ce::254": "cloud metadata", "192.0.0.192": "cloud metadata",
		"192.0.0.1": "protocol assignments", "192.0.2.1": "documentation", "198.51.100.1": "documentation",
		"203.0.113.255": "documentation", "2001:db8::1": "documentation", "3fff::1": "documentation",
		"192.88.99.1": "6to4 relay", "198.18.0.1": "benchmarking", "198.19.255.255": "benchmarking", "2001:2::1": "benchmarking",
		"224.0.0.1": "multicast", "239.255.255.255": "multicast", "ff02::1": "multicast", "ff0e::1": "multicast",
		"240.0.0.1": "reserved", "255.255.255.255": "broadcast",
		"::": "unspecified", "::7f00:1": "IPv4-compatible", "::ffff:0:7f00:1": "IPv4-translated",
		"64:ff9b::7f00:1": "NAT64", "64:ff9b::a9fe:a9fe": "NAT64", "64:ff9b:1::1": "NAT64",
		"2002:7f00:1::": "6to4", "2002:a00:1::1": "6to4", "2001:0:7f00:1::": "Teredo",
		"100::1": "discard-only", "2001:10::1": "ORCHID", "2001:1::1": "protocol assignments",
		"fec0::1": "site-local", "feff::1": "site-local", "5f00::1": "segment routing", "3ffe::1": "6bone, returned",
		"4000::1": "reserved", "200::1": "reserved", "e000::1": "reserved",
	} {
		if got := Class(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %q, want %q", addr, got, want)
		}
	}
	if got := Class(netip.Addr{}); got != "invalid" {
		t.Errorf("no address: got %q", got)
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	allow := func(prefixes ...string) (out []netip.Prefix) {
		for _, p := range prefixes {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	for _, tc := range []struct {
		name   string
		policy Policy
		addr   string
		ok     bool
	}{
		{"public", Policy{}, "8.8.8.8", true},
		{"loopback", Policy{}, "127.0.0.1", false},
		{"metadata, mapped", Policy{}, "::ffff:169.254.169.254", false},
		{"NAT64", Policy{}, "64:ff9b::7f00:1", false},
		{"dev: loopback", Policy{Dev: true}, "127.0.0.1", true},
		{"dev: loopback, IPv6", Policy{Dev: true}, "::1", true},
		{"dev: private", Policy{Dev: true}, "192.168.1.1", false},
		{"dev: metadata", Policy{Dev: true}, "169.254.169.254", false},
		{"allowed", Policy{Allow: allow("192.168.1.0/24")}, "192.168.1.7", true},
		{"allowed, dialed in mapped form", Policy{Allow: allow("192.168.1.0/24")}, "::ffff:192.168.1.7", true},
		{"allowed in mapped form", Policy{Allow: allow("::ffff:192.168.1.0/120")}, "192.168.1.7", true},
		{"beside what is allowed", Policy{Allow: allow("192.168.1.0/24")}, "192.168.2.7", false},
		{"allowed IPv6 with a zone", Policy{Allow: allow("fe80::/10")}, "fe80::1%eth0", true},
		{"all of IPv4 allowed: private", Policy{Allow: allow("0.0.0.0/0")}, "10.0.0.5", true},
		{"all of IPv4 allowed: metadata", Policy{Allow: allow("0.0.0.0/0")}, "169.254.169.254", false},
		{"all of IPv4 allowed: mapped metadata", Policy{Allow: allow("0.0.0.0/0", "::/0")}, "::ffff:169.254.169.254", false},
		{"all of IPv4 allowed: Azure's", Policy{Allow: allow("0.0.0.0/0")}, "168.63.129.16", false},
		{"all of IPv4 allowed: link-local", Policy{Allow: allow("0.0.0.0/1", "128.0.0.0/1")}, "169.254.0.23", false},
		{"more than link-local", Policy{Allow: allow("169.254.0.0/15")}, "169.254.0.23", false},
		{"link-local by name", Policy{Allow: allow("169.254.0.0/16")}, "169.254.0.23", true},
		{"link-local by name, metadata", Policy{Allow: allow("169.254.0.0/16")}, "169.254.169.254", false},
		{"metadata by name", Policy{Allow: allow("169.254.169.254/32")}, "169.254.169.254", true},
		{"metadata by a network of two", Policy{Allow: allow("169.254.169.254/31")}, "169.254.169.254", false},
		{"metadata by its mapped name", Policy{Allow: allow("::ffff:169.254.169.254/128")}, "169.254.169.254", true},
		{"mapped form of all", Policy{Allow: allow("::ffff:0:0/96")}, "169.254.169.254", false},
		{"carrier's network, Alibaba's", Policy{Allow: allow("100.64.0.0/10")}, "100.100.100.200", false},
		{"all of IPv6: metadata", Policy{Allow: allow("::/0")}, "fd00:ec2::254", false},
		{"private IPv6: metadata", Policy{Allow: allow("fc00::/7")}, "fd20:ce::254", false},
		{"IPv6 metadata by name", Policy{Allow: allow("fd00:ec2::254/128")}, "fd00:ec2::254", true},
		{"all of IPv6: link-local", Policy{Allow: allow("::/0")}, "fe80::1", false},
		{"link-local IPv6: OpenStack's", Policy{Allow: allow("fe80::/10")}, "fe80::a9fe:a9fe", false},
		{"NAT64 allowed", Policy{Allow: allow("64:ff9b::/96")}, "64:ff9b::a00:5", true},
		{"NAT64 allowed: metadata behind it", Policy{Allow: allow("64:ff9b::/96")}, "64:ff9b::a9fe:a9fe", false},
		{"NAT64 of metadata by name", Policy{Allow: allow("64:ff9b::a9fe:a9fe/128")}, "64:ff9b::a9fe:a9fe", true},
		{"6to4 allowed: metadata behind it", Policy{Allow: allow("2002::/16")}, "2002:a9fe:a9fe::1", false},
		{"Teredo allowed: metadata behind it", Policy{Allow: allow("2001::/32")}, "2001:0:1:2:3:4:5601:5601", false},
		{"IPv4-compatible: metadata behind it", Policy{Allow: allow("::/0")}, "::a9fe:a9fe", false},
		{"all of IPv4 allowed says nothing of IPv6", Policy{Allow: allow("0.0.0.0/0")}, "::1", false},
	} {
		err := tc.policy.Check(netip.MustParseAddr(tc.addr))
		if (err == nil) != tc.ok {
			t.Errorf("%s: got %v", tc.name, err)
		}
		if err != nil && (!strings.Contains(err.Error(), Setting) || !strings.Contains(err.Error(), Class(netip.MustParseAddr(tc.addr)))) {
			t.Errorf("%s: the error names neither the class nor the remedy: %v", tc.name, err)
		}
	}
}

func TestControlIsAskedForTheDialedAddress(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	var refused *Error
	guarded := net.Dialer{Control: Policy{}.Control}
	if _, err := guarded.DialContext(ctx, "tcp", "localhost:"+port); !errors.As(err, &refused) || refused.Class != Loopback {
		t.Errorf("localhost without permission: got %v", err)
	}
	dev := net.Dialer{Control: Policy{Dev: true}.Control}
	conn, err := dev.DialContext(ctx, "tcp", "localhost:"+port)
	if err != nil {
		t.Fatalf("localhost with Dev: %v", err)
	}
	conn.Close()
	if err := (Policy{}).Control("unix", "/run/docker.sock", nil); err == nil {
		t.Error("a unix socket is allowed")
	}
	if err := (Policy{}).Control("tcp", "localhost:80", nil); err == nil {
		t.Error("an unresolved name is allowed")
	}
}

func FuzzClass(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "8.8.8.8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return
		}
		if Class(addr) == Public && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified()) {
			t.Errorf("%s counts as public", addr)
		}
	})
}

func TestWide(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0.0.0.0/0": "every private network", "::/0": "every private network", "128.0.0.0/1": "every private network", "10.0.0.0/8": "", "192.168.0.0/16": "", "127.0.0.0/8": "",
		"169.254.0.0/16": "stay closed", "100.64.0.0/10": "stay closed", "fc00::/7": "stay closed", "169.254.169.254/32": "credentials of the machine", "10.0.0.5/32": "", "fd12:3456::/48": "",
	} {
		if got := Wide(netip.MustParsePrefix(text)); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %q", text, got)
		}
	}
}
