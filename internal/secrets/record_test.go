package secrets

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/bridge/record"
)

func keyedStore(t *testing.T) (*Store, string) {
	t.Helper()
	file, recipient, err := NewIdentity(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return New(Options{IdentityFile: path}), recipient
}

func TestSealRecord(t *testing.T) {
	t.Parallel()
	s, _ := keyedStore(t)
	const record = `{"targetURL":"https://erp.example.com/x?{orderId}","tenant":"acme","key":"hunter2-key","secret":"env:ORDERBRIDGE_SECRET_ACME_X",` +
		`"signing":{"secrets":["whsec_hunter2","file:x"]},"headers":{"X-A":"hunter2-<header>"},"tls":{"keyFile":"k","keyPassword":"hunter2-kp"},` +
		`"auth":{"type":"client_credential","clientID":"i","clientSecret":"hunter2-cs","tokenURL":"https://idp.example.com/token"},"labels":{"secret":"stays"}}`
	sealed, err := s.SealRecord("erp", []byte(record))
	if err != nil || strings.Contains(string(sealed), "hunter2") || strings.Count(string(sealed), "sealed:") != 5 || !strings.Contains(string(sealed), `"secret":"stays"`) {
		t.Fatalf("%s, %v", sealed, err)
	}
	if opened := s.OpenRecord("erp", sealed); string(opened) != record {
		t.Errorf("opened: %s", opened)
	}
	if again, err := s.SealRecord("erp", sealed); err != nil || string(again) != string(sealed) {
		t.Errorf("sealed twice: %s, %v", again, err)
	}
	// Another place, another tenant, another id: nothing can be opened.
	for name, other := range map[string]string{
		"target": strings.Replace(string(sealed), "erp.example.com", "evil.example.com", 1),
		"tenant": strings.Replace(string(sealed), `"acme"`, `"globex"`, 1),
	} {
		if opened := s.OpenRecord("erp", []byte(other)); strings.Contains(string(opened), "hunter2") {
			t.Errorf("another %s: %s", name, opened)
		}
	}
	if opened := s.OpenRecord("crm", sealed); strings.Contains(string(opened), "hunter2") {
		t.Errorf("another id: %s", opened)
	}
	elsewhere := strings.Replace(string(sealed), "idp.example.com", "evil.example.com", 1)
	if opened := s.OpenRecord("erp", []byte(elsewhere)); strings.Contains(string(opened), "hunter2-cs") {
		t.Errorf("another token server: %s", opened)
	}
	_, err = s.SealRecord("erp", []byte(`{"targetURL":"https://h/","secret":"`+strings.Repeat("x", 9000)+`"}`))
	if err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too long: %v", err)
	}
	for _, plain := range []string{`{"targetURL":"https://h/"}`, `[]`, `{`, `{"secret":"x"}`, `{"targetURL":7,"secret":"x"}`} {
		if out, _ := s.SealRecord("erp", []byte(plain)); string(out) != plain {
			t.Errorf("%s: %s", plain, out)
		}
	}
	if out, err := New(Options{}).SealRecord("erp", []byte(record)); err != nil || string(out) != record {
		t.Errorf("without a key: %s, %v", out, err)
	}
	if _, err := New(Options{IdentityFile: "/nonexistent"}).SealRecord("erp", []byte(record)); err == nil {
		t.Error("a key that is not there seals nothing, and nobody is told")
	}
}

// What an earlier version has sealed stays readable, for its one host; where the
// token of a client secret goes was not sealed with it.
func TestSealedByEarlierVersions(t *testing.T) {
	t.Parallel()
	s, recipient := keyedStore(t)
	// As of 0.1: {"subscription":"erp","host":"idp.example.com","value":"hunter2"}.
	old, err := sealContent(recipient, []byte(`{"subscription":"erp","host":"idp.example.com","value":"hunter2"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		hosts []string
		ok    bool
		warns string
	}{
		{[]string{"idp.example.com"}, true, ""},
		{[]string{"idp.example.com", "idp.example.com"}, true, ""},
		{[]string{"idp.example.com", "erp.example.com"}, true, "--subscription erp --tenant acme --host idp.example.com --host erp.example.com"},
		{[]string{"erp.example.com", "idp.example.com"}, false, ""},
		{[]string{""}, false, ""},
	} {
		value, warning, err := s.Value(old, record.SecretUse{Subscription: "erp", Tenant: "acme", Hosts: c.hosts})
		if (err == nil) != c.ok || c.ok && value != "hunter2" || (warning == "") != (c.warns == "") || !strings.Contains(warning, c.warns) {
			t.Errorf("%v: %q, %q, %v", c.hosts, value.Reveal(), warning, err)
		}
	}
}
