package secrets

import (
	"strings"
	"testing"

	"orderbridge/bridge/record"
)

func TestHostPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		patterns string
		yes, no  []string // URLs
	}{
		{"erp.example.com", []string{"https://erp.example.com/", "https://ERP.Example.COM:443", "https://erp.example.com.", "https://erp.example.com:8443"},
			[]string{"https://example.com", "https://x.erp.example.com", "https://erp.example.com.evil.org", "https://erp-example.com", "http://erp.example.com", "https://erp.example.com..", "https://evil.org/erp.example.com"}},
		{"ERP.example.com.:8443", []string{"https://erp.example.com:8443", "https://erp.example.com:08443"}, []string{"https://erp.example.com", "https://erp.example.com:8444", "http://erp.example.com:8443"}},
		{"*.example.com", []string{"https://erp.example.com", "https://a.b.example.com:1"}, []string{"https://example.com", "https://xexample.com", "https://example.com.evil.org"}},
		{"http://erp.example.com", []string{"http://erp.example.com", "http://erp.example.com:8080"}, []string{"https://erp.example.com"}},
		{"https://erp.example.com/", []string{"https://erp.example.com"}, nil},
		{"127.0.0.1", []string{"https://127.0.0.1:4433", "http://127.0.0.1:8080"}, []string{"https://127.0.0.2", "https://localhost", "https://127.1", "https://0x7f000001"}},
		{"10.0.0.5", []string{"https://10.0.0.5", "https://[::ffff:10.0.0.5]"}, []string{"http://10.0.0.5", "https://10.0.0.50", "https://010.0.0.5", "https://167772165"}},
		{"[fd00::5]:8443 fd00::6", []string{"https://[fd00::5]:8443", "https://[FD00:0::5]:8443", "https://[fd00::6]"}, []string{"https://[fd00::5]", "https://[fd00::7]"}},
		{"bücher.example", []string{"https://xn--bcher-kva.example", "https://XN--BCHER-KVA.example."}, []string{"https://bucher.example"}},
		{"a.example, b.example\n\tc.example", []string{"https://a.example", "https://b.example", "https://c.example"}, []string{"https://d.example"}},
	} {
		patterns, err := parseHosts(c.patterns)
		if err != nil {
			t.Errorf("%q: %v", c.patterns, err)
		}
		for want, urls := range map[bool][]string{true: c.yes, false: c.no} {
			for _, u := range urls {
				if got := first(patterns, []string{record.SecretHost(u)}) == ""; got != want {
					t.Errorf("%q for %s: %v", c.patterns, u, got)
				}
			}
		}
	}
	for _, wrong := range []string{
		"*", "*.com", "*.", "a*.example.com", "erp.*.com", "erp.example.com/path", "user@erp.example.com", "erp.example.com:0", "erp.example.com:99999",
		"erp.example.com:x", "[fd00::5", "fe80::1%eth0", "ftp://erp.example.com", "erp..com", ".example.com", "erp?x", "http://", ":443", "-\x00",
		strings.Repeat("a.example ", 300), strings.Repeat("a", 300),
	} {
		if p, err := parseHosts("good.example," + wrong); err == nil {
			t.Errorf("%q is taken: %+v", wrong, p)
		}
	}
}

func TestHostsFile(t *testing.T) {
	t.Parallel()
	if got := strings.Fields(withoutComments("\ufeff# all of ours\r\na.example # the ERP\r\n\r\nb.example")); len(got) != 2 || got[0] != "a.example" || got[1] != "b.example" {
		t.Errorf("%q", got)
	}
}

// FuzzHostPatterns: no text makes a secret go to a host that it does not end in.
func FuzzHostPatterns(f *testing.F) {
	for _, s := range []string{"*.example.com", "[::1]:8", "a,b", "http://x"} {
		f.Add(s, "evil.org")
	}
	f.Fuzz(func(t *testing.T, text, host string) {
		patterns, err := parseHosts(text)
		if err != nil {
			return
		}
		u := record.SecretHost("https://" + host)
		if u == "" || first(patterns, []string{u}) != "" {
			return
		}
		for _, p := range patterns {
			if p.permits(u) && p.name != "" && !strings.HasSuffix(strings.TrimSuffix(strings.ToLower(hostOnly(u)), "."), p.name) {
				t.Errorf("%q permits %q", text, u)
			}
		}
	})
}

func hostOnly(s string) string {
	host, _, _ := splitPort(strings.TrimPrefix(s, "http://"))
	return host
}
