package record

import (
	"strings"
	"testing"
)

// A host that is a number means the address that lenient resolvers make of it.
func TestHostsWrittenAsNumbers(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{
		"10.0.0.5": "10.0.0.5 plain", "10.5": "10.0.0.5", "10.0.5": "10.0.0.5", "167772165": "10.0.0.5", "0xa000005": "10.0.0.5", "0XA.5": "10.0.0.5", "012.0.0.5": "10.0.0.5",
		"10.0.0.5.": "10.0.0.5", "0": "0.0.0.0", "0x": "0.0.0.0", "0x.0x.0": "0.0.0.0", "127.1": "127.0.0.1", "127.0.0.1..": "127.0.0.1", "2130706433": "127.0.0.1", "0177.1": "127.0.0.1",
		"0x7f.0.0.1": "127.0.0.1", "1.2.3.4": "1.2.3.4 plain", "1.256": "1.0.1.0", "4294967295": "255.255.255.255", "00000012.5": "10.0.0.5",
		"[::ffff:10.0.0.5]": "::ffff:10.0.0.5 plain", "::1": "::1 plain", "[::1]": "::1 plain", "fe80::1%eth0": "fe80::1%eth0",
		"1.2.3.4.5": "nothing", "256.1.1.1": "nothing", "1.2.3.256": "nothing", "08.1": "nothing", "4294967296": "nothing", "1..2": "nothing", "99999999999999999999999": "nothing", "a.b.1": "nothing", "x.0x1": "nothing", "009": "nothing",
		"example.com": "name", "1.example.com": "name", "10.0.0.5.nip.io": "name", "a1": "name", "0xg": "name", "cafe": "name", "1a": "name", "": "name", ".": "name",
	} {
		addr, number, plain := HostAddress(host)
		got := "name"
		switch {
		case number && !addr.IsValid():
			got = "nothing"
		case number && plain:
			got = addr.String() + " plain"
		case number:
			got = addr.String()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", host, got, want)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST", "localhost.", "x.localhost", "ip6-loopback"} {
		if !IsLocalName(host) {
			t.Errorf("%q is not a local name", host)
		}
	}
	if IsLocalName("localhost.example.com") || IsLocalName("notlocalhost") {
		t.Error("a foreign name is local")
	}
}

// Records do not name an address in another way.
func TestRecordHostsAreWrittenPlainly(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"10.5", "167772165", "0xa000005", "012.0.0.5", "0", "127.1", "1.2.3.4.", "1.2.3.4.5", "a.b.1", "①②⑦.⓪.⓪.①", "[fe80::1%25eth0]", "１２７.0.0.1"} {
		for _, record := range []string{`{"targetURL":"https://` + host + `/x"}`, `{"targetURL":"https://h/","auth":{"type":"client_credential","clientID":"a","clientSecret":"b","tokenURL":"https://` + host + `/t"}}`} {
			if _, problems := Parse("s", []byte(record), Policy{}); problems.Err() == nil {
				t.Errorf("%s is accepted", record)
			} else if strings.HasPrefix(host, "10.5") && !strings.Contains(problems.Err().Error(), "10.0.0.5") {
				t.Errorf("%s: %v", record, problems.Err())
			}
		}
	}
	for _, host := range []string{"1.2.3.4", "[2001:4860::1]", "h1", "1.example.com"} {
		if _, problems := Parse("s", []byte(`{"targetURL":"https://`+host+`/x"}`), Policy{}); problems.Err() != nil {
			t.Errorf("%s: %v", host, problems.Err())
		}
	}
}
