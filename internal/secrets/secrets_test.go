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

	"orderbridge/bridge"
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
		filepath.Join(dir, "acme/big"):       strings.Repeat("x", maxFile+1),
		filepath.Join(dir, "globex/pw"):      "hunter2",
		filepath.Join(dir, "..data/mounted"): "as Kubernetes mounts it",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"mounted": "..data/mounted", "acme/out": outside, "acme/neighbour": "../globex/pw", "acme/here": "pw", "acme/dir": "..", "evil": filepath.Dir(outside),
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
		{"acme", "pipe", "", "no regular file"},
		{"acme", "deep", "", "no regular file"},
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
	} {
		value, err := s.Value(bridge.RefFile+c.name, bridge.SecretUse{Tenant: c.tenant})
		switch {
		case c.problem == "" && (err != nil || value.Reveal() != c.value):
			t.Errorf("%q of %q: %q, %v", c.name, c.tenant, value.Reveal(), err)
		case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q of %q: %v, want %q", c.name, c.tenant, err, c.problem)
		}
		if _, err := s.Stat(c.tenant, c.name); c.problem == "escapes" && err == nil {
			t.Errorf("%q of %q can be described", c.name, c.tenant)
		}
	}
	if _, err := New(Options{}).ReadFile("", "x"); err == nil || !strings.Contains(err.Error(), "ORDERBRIDGE_SECRETS_DIR") {
		t.Errorf("without a directory: %v", err)
	}
	if _, err := New(Options{Dir: "/nonexistent"}).ReadFile("", "x"); err == nil || errors.Is(err, fs.ErrPermission) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"ORDERBRIDGE_SECRET_PW": "shared", "ORDERBRIDGE_SECRET_ACME_PW": "acme's", "HOME": "hunter2", "ORDERBRIDGE_NATS_PASSWORD": "hunter2"}
	s := New(Options{LookupEnv: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }})
	for _, c := range []struct{ tenant, name, want string }{
		{"", "ORDERBRIDGE_SECRET_PW", "shared"},
		{"acme", "ORDERBRIDGE_SECRET_ACME_PW", "acme's"},
		{"acme", "ORDERBRIDGE_SECRET_PW", ""},
		{"globex", "ORDERBRIDGE_SECRET_ACME_PW", ""},
		{"acme", "ORDERBRIDGE_SECRET_ACME_OTHER", ""},
		{"", "HOME", ""},
		{"", "ORDERBRIDGE_NATS_PASSWORD", ""},
		{"", "ORDERBRIDGE_SECRET_", ""},
	} {
		value, err := s.Value(bridge.RefEnv+c.name, bridge.SecretUse{Tenant: c.tenant})
		if value.Reveal() != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s for %q: %q, %v", c.name, c.tenant, value.Reveal(), err)
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
	use := bridge.SecretUse{Subscription: "erp", Tenant: "acme", Host: "erp.example.com"}
	long := bridge.Secret(strings.Repeat("x", 1024))
	for _, value := range []bridge.Secret{"hunter2", long} {
		text, err := Seal(recipient, use, value)
		if err != nil || len(text) > 4096 || strings.Contains(text, value.Reveal()) {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
		if err := bridge.CheckReference("", text); err != nil {
			t.Error(err)
		}
		if got, err := New(Options{IdentityFile: key}).Value(text, use); err != nil || got != value {
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
			use       bridge.SecretUse
			problem   string
		}{
			"another subscription": {key, text, bridge.SecretUse{Subscription: "crm", Host: use.Host}, "--subscription crm --host erp.example.com"},
			"another host":         {key, text, bridge.SecretUse{Subscription: "erp", Host: "evil.example.com"}, "another subscription or host"},
			"no host":              {key, text, bridge.SecretUse{Subscription: "erp"}, "another subscription or host"},
			"another key":          {other, text, use, "another key"},
			"no key":               {"", text, use, "ORDERBRIDGE_SEALING_KEY_FILE"},
			"no key file":          {filepath.Join(dir, "none"), text, use, "cannot be read"},
			"damaged":              {key, string(flipped), use, "damaged"},
			"cut off":              {key, text[:len(text)/2], use, ""},
			"nothing":              {key, "sealed:", use, "no sealed value"},
		} {
			got, err := New(Options{IdentityFile: c.key}).Value(c.text, c.use)
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
	if _, err := Seal("age1hunter2", use, "x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken public key: %v", err)
	}
}
