package publishers

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"orderbridge/bridge/record"
)

// The guard is asked for each address right before it is dialed. What a host
// means without being resolved is judged before that: behind an egress proxy
// nothing else can be.

// guardHost refuses a host that means an address which may not be dialed, or
// that is an address in a form which a proxy may read otherwise than we do.
func (d *dialer) guardHost(network, addr string) error {
	if d.control == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	meant, number, plain := record.HostAddress(host)
	switch {
	case strings.Contains(strings.ToLower(host), "xn--") && !isForeignName(host):
		return &policyError{err: errors.New("host " + strconv.Quote(host) + " is not a name in another alphabet"),
			literal: true}
	case number && !meant.IsValid():
		return &policyError{err: errors.New("host " + strconv.Quote(host) + " ends in a number but is not an address")}
	case !number && d.proxy == "": // it is resolved here, and each address is judged
		return nil
	case !number && record.IsLocalName(host):
		meant = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case !number && metadataNames[strings.ToLower(strings.TrimRight(host, "."))]:
		meant = netip.AddrFrom4([4]byte{169, 254, 169, 254})
	case !number:
		return nil
	}
	if err := d.control(network, net.JoinHostPort(meant.WithZone("").String(), port), nil); err != nil {
		return &policyError{err: err, literal: number}
	}
	if number && !plain {
		return &policyError{err: errors.New("host " + strconv.Quote(host) + " is another way to write " +
			meant.WithZone("").String() + ": write it so"), literal: true}
	}
	return nil
}

// isForeignName reports whether a name in punycode is one that anybody can have:
// digits in circles, of full width and the like become an address in a resolver
// that normalizes them.
func isForeignName(host string) bool {
	_, err := idna.Lookup.ToUnicode(host)
	return err == nil
}

// metadataNames are those under which clouds serve credentials to a machine.
var metadataNames = map[string]bool{
	"metadata": true, "metadata.google.internal": true, "metadata.goog": true, "instance-data": true,
	"instance-data.ec2.internal": true,
	"metadata.azure.internal":    true, "metadata.platformequinix.com": true, "metadata.tencentyun.com": true,
	"rancher-metadata": true,
}

// isInternal reports whether an address is none of the public internet.
func (d *dialer) isInternal(address string) bool {
	if d.internal == nil {
		return false
	}
	ap, err := netip.ParseAddrPort(address)
	return err == nil && d.internal(ap.Addr())
}

// leadsInside reports whether a connection ends at such an address. Behind a
// proxy only an address in the URL tells.
func (d *dialer) leadsInside(conn net.Conn, addr string) bool {
	if d.proxy != "" {
		return d.isInternal(addr)
	}
	return d.isInternal(conn.RemoteAddr().String())
}
