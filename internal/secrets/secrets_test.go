package secrets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// directory has files for records without tenant, for acme and for globex, and
// links of all kinds.
func directory(t *testing.T) string {
	t.Helper()
	outside := filepath.Join(t.TempDir(), "outside")
	dir := filepath.Join(t.TempDir(), "secrets")
	for path, content := range map[string]string{
		outside:                              "hunter2",
		filepath.Join(dir, "shared"):         "s3cret\n",
		filepath.Join(dir, "acme/pw"):        "acme's\r\n",
		filepath.Join(dir, "acme/deep/pw"):   "two\nlines\n",
		filepath.Join(dir, "acme/big"):       strings.Repeat("x", limits.SecretFileBytes+1),
		filepath.Join(dir, "globex/pw"):      "hunter2",
		filepath.Join(dir, "..data/mounted"): "as Kubernetes mounts it",

		filepath.Join(dir, "shared.hosts"):       "# who gets it\nerp.example.com, crm.example.com:8443\n",
		filepath.Join(dir, "mounted.hosts"):      "erp.example.com",
		filepath.Join(dir, "unsaid"):             "hunter2",
		filepath.Join(dir, "empty"):              "hunter2",
		filepath.Join(dir, "empty.hosts"):        "# nobody\n",
		filepath.Join(dir, "wrong"):              "hunter2",
		filepath.Join(dir, "wrong.hosts"):        "erp.example.com *",
		filepath.Join(dir, "much"):               "hunter2",
		filepath.Join(dir, "much.hosts"):         strings.Repeat("erp.example.com\n", 1000),
		filepath.Join(dir, "acme/pw.hosts"):      "erp.example.com",
		filepath.Join(dir, "acme/here.hosts"):    "*.example.com",
		filepath.Join(dir, "acme/deep/pw.hosts"): "erp.example.com",
		filepath.Join(dir, "acme/big.hosts"):     "erp.example.com",
		filepath.Join(dir, "acme/pipe.hosts"):    "erp.example.com",
		filepath.Join(dir, "acme/deep.hosts"):    "erp.example.com",
		filepath.Join(dir, "acme/out.hosts"):     "erp.example.com",
		filepath.Join(dir, "acme/led"):           "hunter2",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"mounted": "..data/mounted", "acme/out": outside, "acme/neighbour": "../globex/pw", "acme/here": "pw", "acme/dir": "..", "evil": filepath.Dir(outside), "acme/led.hosts": outside,
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "acme/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func use(tenant string) record.SecretUse {
	return record.SecretUse{Subscription: "s", Tenant: tenant, Hosts: []string{"erp.example.com"}}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	s := New(Options{Dir: directory(t)})
	for _, c := range []struct{ tenant, name, value, problem string }{
		{"", "shared", "s3cret", ""},
		{"", "mounted", "as Kubernetes mounts it", ""},
		{"acme", "pw", "acme's", ""},
		{"acme", "here", "acme's", ""},
		{"acme", "deep/pw", "two\nlines", ""},
		{"acme", "shared", "", "does not exist"},
		{"acme", "big", "", "more than"},
		{"acme", "pipe", "", "not a regular file"},
		{"acme", "deep", "", "not a regular file"},
		{"acme", "out", "", "escapes"},
		{"acme", "neighbour", "", "escapes"},
		{"acme", "dir/globex/pw", "", "escapes"},
		{"acme", "../globex/pw", "", "leads out"},
		{"acme", "/etc/passwd", "", "absolute"},
		{"acme", "deep/../../globex/pw", "", "leads out"},
		{"evil", "outside", "", "escapes"},
		{"nobody", "pw", "", "does not exist"},
		{"", "acme/pw", "", "slash"},
		{"", "..", "", "leads out"},
		{"", "unsaid", "", "with the line erp.example.com in ORDERBRIDGE_SECRETS_DIR/unsaid.hosts"},
		{"", "empty", "", "which is not in the operator's"},
		{"", "wrong", "", "may go anywhere is not a secret"},
		{"", "much", "", "has more than 8192 bytes"},
		{"", "shared.hosts", "", "name the secret itself"},
		{"", "shared.HOSTS", "", "name the secret itself"},
		{"acme", "led", "", "what says where it may go"},
	} {
		value, _, err := s.Value(record.RefFile+c.name, use(c.tenant))
		switch {
		case c.problem == "" && (err != nil || value.Reveal() != c.value):
			t.Errorf("%q of %q: %q, %v", c.name, c.tenant, value.Reveal(), err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q of %q: %v, want %q", c.name, c.tenant, err, c.problem)
		}
		if _, _, err := s.Stat(c.tenant, c.name); c.problem == "escapes" && err == nil {
			t.Errorf("%q of %q can be described", c.name, c.tenant)
		}
	}
	if _, err := New(Options{}).ReadKey("x", use("")); err == nil || !strings.Contains(err.Error(), "ORDERBRIDGE_SECRETS_DIR") {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := New(Options{Dir: "/nonexistent"}).ReadKey("x", use("")); err == nil || errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	const erp = "erp.example.com"
	environment := map[string]string{
		"ORDERBRIDGE_SECRET_PW": "shared", "ORDERBRIDGE_SECRET_PW_HOSTS": "erp.example.com,*.example.org",
		"ORDERBRIDGE_SECRET_ACME_PW": "acme's", "ORDERBRIDGE_SECRET_ACME_PW_HOSTS": erp,
		"ORDERBRIDGE_SECRET_TWO_WORDS": "shared", "ORDERBRIDGE_SECRET_TWO_WORDS_HOSTS": erp, "ORDERBRIDGE_SECRET_TWO_WORDS_TENANTS": "-",
		"ORDERBRIDGE_SECRET_A__B_PW": "hunter2", "ORDERBRIDGE_SECRET_A__B_PW_HOSTS": erp, "ORDERBRIDGE_SECRET_A__B_PW_TENANTS": "a-b",
		"ORDERBRIDGE_SECRET_UNSAID": "hunter2", "ORDERBRIDGE_SECRET_WRONG": "hunter2", "ORDERBRIDGE_SECRET_WRONG_HOSTS": "erp.example.com,*",
		"HOME": "hunter2", "ORDERBRIDGE_NATS_PASSWORD": "hunter2", "ORDERBRIDGE_NATS_PASSWORD_HOSTS": erp,
	}
	s := New(Options{LookupEnv: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }})
	for _, c := range []struct{ tenant, name, host, want, problem string }{
		{"", "ORDERBRIDGE_SECRET_PW", erp, "shared", ""},
		{"", "ORDERBRIDGE_SECRET_PW", "a.example.org", "shared", ""},
		{"", "ORDERBRIDGE_SECRET_PW", "evil.example.com", "", "it is added there as ,evil.example.com"},
		{"", "ORDERBRIDGE_SECRET_PW", "http://erp.example.com", "", "is not in the operator's"},
		{"", "ORDERBRIDGE_SECRET_PW", "", "", "is for no host"},
		{"acme", "ORDERBRIDGE_SECRET_ACME_PW", erp, "acme's", ""},
		{"", "ORDERBRIDGE_SECRET_ACME_PW", erp, "", "ORDERBRIDGE_SECRET_ACME_PW_TENANTS=-"},
		{"acme", "ORDERBRIDGE_SECRET_PW", erp, "", "begins with ORDERBRIDGE_SECRET_ACME_"},
		{"globex", "ORDERBRIDGE_SECRET_ACME_PW", erp, "", "begins with"},
		{"acme", "ORDERBRIDGE_SECRET_ACME_OTHER", erp, "", "is not set"},
		{"", "ORDERBRIDGE_SECRET_TWO_WORDS", erp, "shared", ""},
		{"two", "ORDERBRIDGE_SECRET_TWO_WORDS", erp, "", "may not be used by tenant two"},
		{"a-b", "ORDERBRIDGE_SECRET_A__B_PW", erp, "hunter2", ""},
		{"a_b", "ORDERBRIDGE_SECRET_A__B_PW", erp, "", "may not be used by tenant a_b"},
		{"", "ORDERBRIDGE_SECRET_UNSAID", erp, "", "ORDERBRIDGE_SECRET_UNSAID_HOSTS=erp.example.com"},
		{"", "ORDERBRIDGE_SECRET_WRONG", erp, "", "may go anywhere is not a secret"},
		{"", "ORDERBRIDGE_SECRET_PW_HOSTS", erp, "", "name the secret itself"},
		{"", "ORDERBRIDGE_SECRET_PW_hosts", erp, "", "name the secret itself"},
		{"two", "ORDERBRIDGE_SECRET_TWO_WORDS_TENANTS", erp, "", "name the secret itself"},
		{"", "HOME", erp, "", "begins with"},
		{"", "ORDERBRIDGE_NATS_PASSWORD", erp, "", "begins with"},
		{"", "ORDERBRIDGE_SECRET_", erp, "", "begins with"},
	} {
		value, _, err := s.Value(record.RefEnv+c.name, record.SecretUse{Tenant: c.tenant, Hosts: []string{c.host}})
		if value.Reveal() != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s for %q to %s: %q, %v; want %q", c.name, c.tenant, c.host, value.Reveal(), err, c.problem)
		}
	}
	both := record.SecretUse{Hosts: []string{erp, "evil.example.com"}}
	if _, _, err := s.Value("env:ORDERBRIDGE_SECRET_PW", both); err == nil {
		t.Error("one host of two is enough")
	}
	s.Grant(Grant{References: []string{"env:ORDERBRIDGE_SECRET_UNSAID"}, Host: erp})
	for tenant, want := range map[string]bool{"": true, "unsaid": false} {
		if _, _, err := s.Value("env:ORDERBRIDGE_SECRET_UNSAID", record.SecretUse{Tenant: tenant, Hosts: []string{erp}}); (err == nil) != want {
			t.Errorf("granted, tenant %q: %v", tenant, err)
		}
	}
	if _, _, err := s.Value("env:ORDERBRIDGE_SECRET_UNSAID", both); err == nil {
		t.Error("a grant reaches another host")
	}
	remarks := s.Unbound([]string{"ORDERBRIDGE_SECRET_A=hunter2", "ORDERBRIDGE_SECRET_UNSAID=x", "ORDERBRIDGE_SECRET_B=x", "ORDERBRIDGE_SECRET_B_HOSTS=b", "ORDERBRIDGE_SECRET_C=x", "ORDERBRIDGE_SECRET_C_HOSTS=*", "HOME=/"})
	if len(remarks) != 2 || !strings.Contains(remarks[0], "ORDERBRIDGE_SECRET_A_HOSTS=erp.example.com") || !strings.Contains(remarks[1], `ORDERBRIDGE_SECRET_C_HOSTS holds "*"`) {
		t.Errorf("remarks %q", remarks)
	}
}

// What a tenant is told does not say where the operator keeps things.
func TestWhereThingsLieIsNotTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := New(Options{Dir: dir, IdentityFile: filepath.Join(dir, "sealing.key")})
	if err := os.MkdirAll(filepath.Join(dir, "acme", "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"", "acme", "none"} {
		for _, ref := range []string{"file:none", "file:directory", "sealed:AAAA"} {
			_, _, err := s.Value(ref, record.SecretUse{Tenant: tenant, Hosts: []string{"h"}})
			if err == nil || strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "ORDERBRIDGE_S") {
				t.Errorf("%s of %q: %v", ref, tenant, err)
			}
		}
	}
}

func TestSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string) (path, recipient string) {
		file, recipient, err := NewIdentity(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(dir, name)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		return path, recipient
	}
	key, recipient := write("key")
	other, _ := write("other")
	if got, err := Recipients(key); err != nil || len(got) != 1 || got[0] != recipient {
		t.Errorf("recipients %v, %v", got, err)
	}
	use := record.SecretUse{Subscription: "erp", Tenant: "acme", Hosts: []string{"erp.example.com"}}
	long := record.Secret(strings.Repeat("x", 1024))
	for _, value := range []record.Secret{"hunter2", long} {
		text, err := Seal(recipient, use, nil, value)
		if err != nil || len(text) > 4096 || strings.Contains(text, value.Reveal()) {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		if err := record.CheckReference("", text); err != nil {
			t.Error(err)
		}
		if got, _, err := New(Options{IdentityFile: key}).Value(text, use); err != nil || got != value {
			t.Errorf("%q, %v", got.Reveal(), err)
		}
		flipped := []byte(text)
		if c := &flipped[len(flipped)-9]; *c == 'A' { // another letter of base64
			*c = 'B'
		} else {
			*c = 'A'
		}
		for name, c := range map[string]struct {
			key, text string
			use       record.SecretUse
			problem   string
		}{
			"another subscription": {key, text, record.SecretUse{Subscription: "crm", Hosts: use.Hosts}, "--subscription crm --host erp.example.com"},
			"another host":         {key, text, record.SecretUse{Subscription: "erp", Hosts: []string{"evil.example.com"}}, "another subscription or host"},
			"no host":              {key, text, record.SecretUse{Subscription: "erp"}, "another subscription or host"},
			"another key":          {other, text, use, "another key"},
			"no key":               {"", text, use, "ORDERBRIDGE_SEALING_KEY_FILE"},
			"no key file":          {filepath.Join(dir, "none"), text, use, "cannot be read"},
			"damaged":              {key, string(flipped), use, "damaged"},
			"cut off":              {key, text[:len(text)/2], use, ""},
			"nothing":              {key, "sealed:", use, "not a sealed value"},
		} {
			got, _, err := New(Options{IdentityFile: c.key}).Value(c.text, c.use)
			if err == nil || got != "" || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), value.Reveal()) {
				t.Errorf("%s: %q, %v", name, got.Reveal(), err)
			}
		}
	}
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte("AGE-SECRET-KEY-1HUNTER2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Recipients(broken); err == nil || strings.Contains(err.Error(), "HUNTER2") {
		t.Errorf("a broken identity file: %v", err)
	}
	if _, err := Seal("age1hunter2", use, nil, "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken public key: %v", err)
	}
}
