package callers_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"orderbridge/internal/callers"
)

func TestClientBehindProxies(t *testing.T) {
	t.Parallel()
	proxies := callers.Proxies{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	const far = "203.0.113.7:1"
	for _, one := range []struct{ remote, x, forwarded, want string }{
		{far, "", "", "203.0.113.7"},
		{far, "198.51.100.1", "", "203.0.113.7"},     // no proxy of ours: whatever it says
		{far, "", "for=198.51.100.1", "203.0.113.7"}, //
		{"10.0.0.1:1", "", "", "10.0.0.1"},           // a proxy that does not say
		{"10.0.0.1:1", "198.51.100.1", "", "198.51.100.1"},
		{"[::ffff:10.0.0.1]:1", "198.51.100.1", "", "198.51.100.1"},
		{"10.0.0.1:1", "1.2.3.4, 198.51.100.1", "", "198.51.100.1"}, // spoofed left of it
		{"10.0.0.1:1", "1.2.3.4, 198.51.100.1, 10.9.9.9", "", "198.51.100.1"},
		{"10.0.0.1:1", "1.2.3.4|198.51.100.1", "", "198.51.100.1"}, // header lines are one list
		{"10.0.0.1:1", "198.51.100.1:4711", "", "198.51.100.1"},
		{"10.0.0.1:1", "[2001:db8::1]:4711", "", "2001:db8::1"},
		{"10.0.0.1:1", "[2001:db8::1]", "", "2001:db8::1"},
		{"10.0.0.1:1", "2001:db8::1", "", "2001:db8::1"},
		{"[fd00::1]:1", "198.51.100.1", "", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1, unknown", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1,", "", "10.0.0.1"},
		{"10.0.0.1:1", "10.0.0.2, 10.0.0.3", "", "10.0.0.2"},
		{"10.0.0.1:1", "", "for=1.2.3.4, For=\"198.51.100.1:8\";proto=https;by=10.0.0.1", "198.51.100.1"},
		{"10.0.0.1:1", "", `for="[2001:db8::1]:8"`, "2001:db8::1"},
		{"10.0.0.1:1", "", "proto=https;for=_hidden", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1", "for=198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "198.51.100.1", "for=1.2.3.4", "10.0.0.1"}, // the proxy writes one of them; which, is not known
		{"10.0.0.1:1", strings.Repeat("10.0.0.2,", 5000) + "10.0.0.2", "", "10.0.0.2"},
	} {
		r := &http.Request{RemoteAddr: one.remote, Header: http.Header{}}
		for line := range strings.SplitSeq(one.x, "|") {
			if line != "" {
				r.Header.Add("X-Forwarded-For", line)
			}
		}
		if one.forwarded != "" {
			r.Header.Add("Forwarded", one.forwarded)
		}
		if got := proxies.Client(r); got.String() != one.want {
			t.Errorf("%+v: got %s", one, got)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.1": "10.0.0.1/32", "2001:db8::1:2:3:4": "2001:db8::/64", "fe80::1%eth0": "fe80::/64",
	} {
		if got := callers.Network(netip.MustParseAddr(text)); got.String() != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
	if callers.Network(callers.Remote("nonsense")) != (netip.Prefix{}) || callers.Remote("[::ffff:10.0.0.1]:1") != callers.Remote("10.0.0.1:2") {
		t.Error("addresses are not read well")
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	h := callers.NewHosts([]string{"Bridge.Example.com"})
	for host, want := range map[string][2]bool{
		"127.0.0.1:8080": {true, true}, "[::1]:8080": {true, true}, "10.1.2.3": {true, true}, "localhost": {true, true}, "a.localhost:1": {true, true},
		"bridge.example.com": {true, true}, "BRIDGE.example.com.:443": {true, true},
		"orderbridge:8080": {false, true}, "orderbridge.prod.svc:8080": {false, true}, "orderbridge.prod.svc.cluster.local": {false, true},
		"host.docker.internal:8080": {false, true}, "host.docker.internal.evil.com": {}, "internal.evil.com": {}, "evilinternal.com": {},
		"evil.example.com": {}, "127.0.0.1.evil.example.com": {}, "bridge.example.com.evil.com": {}, "": {}, "svc.evil.com": {}, "x.svc.evil.com": {},
		"127.1": {}, "0x7f.1": {},
	} {
		if got := [2]bool{h.Know(host), h.KnowHere(host)}; got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
	if !callers.NewHosts([]string{"*"}).Know("evil.example.com") {
		t.Error("* is not any name")
	}
}

func TestOwnPage(t *testing.T) {
	t.Parallel()
	const host = "bridge.example.com"
	for _, one := range []struct {
		headers []string
		own     bool
	}{
		{nil, true},
		{[]string{"User-Agent", "curl/8"}, true},
		{[]string{"Sec-Fetch-Site", "none"}, true},
		{[]string{"Sec-Fetch-Site", "same-origin"}, true},
		{[]string{"Sec-Fetch-Site", "same-site"}, false},
		{[]string{"Sec-Fetch-Site", "cross-site"}, false},
		{[]string{"Origin", "https://bridge.example.com"}, true},
		{[]string{"Origin", "https://bridge.example.com:443"}, true},
		{[]string{"Origin", "null"}, false},
		{[]string{"Origin", ""}, false},
		{[]string{"Origin", "https://evil.example.com"}, false},
		{[]string{"Origin", "https://bridge.example.com", "Origin", "https://evil.example.com"}, false},
		{[]string{"Referer", ""}, true},
		{[]string{"Referer", "https://bridge.example.com/docs"}, true},
		{[]string{"Referer", "https://evil.example.com/x?bridge.example.com"}, false},
		{[]string{"Referer", "https://bridge.example.com.evil.com/"}, false},
		{[]string{"Referer", "https://bridge.example.com@evil.com/"}, false},
		{[]string{"Referer", "http://bridge.example.com:8080/"}, false},
		{[]string{"Referer", "android-app://com.example/"}, false},
		{[]string{"Referer", "about:blank"}, false},
		{[]string{"Referer", "file:///etc"}, false},
		{[]string{"Referer", "nonsense"}, false},
		{[]string{"Referer", "https://bridge.example.com/", "Origin", "https://evil.example.com"}, false},
		{[]string{"Referer", "https://bridge.example.com/", "Sec-Fetch-Site", "cross-site"}, false},
	} {
		r := &http.Request{Host: host, Header: http.Header{}}
		for i := 0; i < len(one.headers); i += 2 {
			r.Header.Add(one.headers[i], one.headers[i+1])
		}
		if got := callers.OwnPage(r); got != one.own {
			t.Errorf("%v: got %t", one.headers, got)
		}
	}
	shy := &http.Request{Host: host, Header: http.Header{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"}, "Accept-Language": {"en"}}}
	if !callers.ShyBrowser(shy) {
		t.Error("a browser that hides its page is not known")
	}
	shy.Header.Set("Sec-Fetch-Site", "none")
	if callers.ShyBrowser(shy) {
		t.Error("a browser that tells is called shy")
	}
}
