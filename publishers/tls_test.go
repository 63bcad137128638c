package publishers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// directory is a Secrets over plain files; internal/secrets is tested by itself.
type directory string

func (d directory) Value(ref string, use record.SecretUse) (record.Secret, string, error) {
	data, err := d.ReadKey(strings.TrimPrefix(ref, record.RefFile), use)
	return record.Secret(data), "", err
}

func (d directory) ReadCertificates(name string, use record.SecretUse) ([]byte, error) {
	return d.ReadKey(name, use)
}

func (d directory) ReadKey(name string, _ record.SecretUse) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(d), name))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("file %q does not exist", name)
	}
	return data, err
}

func (d directory) Stat(_, name string) (file, hosts fs.FileInfo, err error) {
	file, err = os.Stat(filepath.Join(string(d), name))
	return file, nil, err
}

func (d directory) write(t *testing.T, name string, data []byte) {
	t.Helper()
	// As a new file: that is how files are replaced at once.
	path := filepath.Join(string(d), name)
	if err := os.WriteFile(path+"~", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		t.Fatal(err)
	}
}

const keyPassword = "hunter2 ü"

// credentials are files of all kinds for one client certificate.
func credentials(t *testing.T, dir directory) (clientCA *localca.CA) {
	t.Helper()
	clientCA, err := lab.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	client := issuedBy(t, clientCA)
	other := issuedBy(t, clientCA)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Certificate[0]})
	key := client.PrivateKey.(*ecdsa.PrivateKey)
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	ok(t, err)
	sec1, err := x509.MarshalECPrivateKey(key)
	ok(t, err)
	encrypted, err := lab.EncryptedKey(key, keyPassword)
	ok(t, err)
	old, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", sec1, []byte(keyPassword), x509.PEMCipherAES256) //nolint:staticcheck // what older tools write
	ok(t, err)
	otherKey, err := x509.MarshalPKCS8PrivateKey(other.PrivateKey)
	ok(t, err)
	serverCA := certificateOf(t, testCA(t))
	block := func(kind string, der []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	}
	p12 := func(e *pkcs12.Encoder) []byte {
		data, err := e.Encode(key, client.Leaf, []*x509.Certificate{serverCA}, keyPassword)
		ok(t, err)
		return data
	}
	trust, err := pkcs12.Modern2023.EncodeTrustStore([]*x509.Certificate{serverCA}, keyPassword)
	ok(t, err)
	for name, data := range map[string][]byte{
		"client.crt":    certPEM,
		"plain.key":     block("PRIVATE KEY", plain),
		"sec1.key":      block("EC PRIVATE KEY", sec1),
		"encrypted.key": block("ENCRYPTED PRIVATE KEY", encrypted),
		"old.key":       pem.EncodeToMemory(old),
		"other.key":     block("PRIVATE KEY", otherKey),
		"bundle.pem":    append(block("ENCRYPTED PRIVATE KEY", encrypted), certPEM...),
		"client.p12":    p12(pkcs12.Modern2023),
		"legacy.p12":    p12(pkcs12.LegacyDES),
		"ca.pem":        testCA(t).PEM(),
		"ca.p12":        trust,
		"other-ca.pem":  clientCA.PEM(),
		"junk":          []byte("hunter2"),
		"empty":         nil,
		"password":      []byte(keyPassword),
	} {
		dir.write(t, name, data)
	}
	return clientCA
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func issuedBy(t *testing.T, ca *localca.CA) tls.Certificate {
	t.Helper()
	return issued(t, ca.Issue)
}

func certificateOf(t *testing.T, ca *localca.CA) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(ca.PEM())
	c, err := x509.ParseCertificate(block.Bytes)
	ok(t, err)
	return c
}

// requireClient makes a server ask for a certificate of the authority.
func requireClient(ca *localca.CA) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	}
}

func withTLS(target string, t record.TLS) *protocol.Delivery {
	d := delivery(target)
	d.Subscription.More = &record.More{TLS: &t}
	return d
}

// noRoots is a publisher that trusts nobody by itself.
func noRoots(t *testing.T, dir directory) *Webhook {
	t.Helper()
	return newWebhook(t, func(o *Options) { o.TrustRoots, o.Secrets = x509.NewCertPool(), dir })
}

func TestContractB10ClientCertificate(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	clientCA := credentials(t, dir)
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 {
			t.Error("no client certificate")
		}
	}, requireClient(clientCA))
	w := noRoots(t, dir)
	for _, files := range []record.TLS{
		{TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "plain.key"},
		{TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "sec1.key", MinVersion: "1.3"},
		{TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "encrypted.key", KeyPassword: keyPassword},
		{TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "old.key", KeyPassword: keyPassword},
		{TrustFile: "ca.pem", KeyFile: "bundle.pem", KeyPassword: "file:password"},
		{TrustFile: "ca.pem", KeyFile: "client.p12", KeyPassword: keyPassword},
		{TrustFile: "ca.p12", KeyFile: "legacy.p12", KeyPassword: keyPassword},
		{TrustFile: "client.p12", ClientCert: "client.crt", KeyFile: "encrypted.key", KeyPassword: keyPassword},
	} {
		if err := publish(shortly(t), w, withTLS(server.URL, files)); err != nil {
			t.Errorf("%+v: %v", files, err)
		}
	}
	for reason, files := range map[string]record.TLS{
		"TLS: refused by the server": {TrustFile: "ca.pem"}, // no certificate
		"unknown authority":          {TrustFile: "other-ca.pem", ClientCert: "client.crt", KeyFile: "plain.key"},
	} {
		if a := attemptError(t, publish(shortly(t), w, withTLS(server.URL, files))); a.Fault != bridge.FaultTransport || !strings.Contains(a.Reason, reason) {
			t.Errorf("%+v: %+v, want %s", files, a, reason)
		}
	}
}

func TestContractB10FilesThatDoNotFit(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	credentials(t, dir)
	w := noRoots(t, dir)
	for _, c := range []struct {
		files          record.TLS
		member, reason string
	}{
		{record.TLS{KeyFile: "client.p12", KeyPassword: "hunter2"}, "tls.keyFile", `"client.p12" cannot be opened: tls.keyPassword is wrong`},
		{record.TLS{KeyFile: "client.p12"}, "tls.keyFile", `"client.p12" is encrypted`},
		{record.TLS{KeyFile: "bundle.pem", KeyPassword: "hunter2"}, "tls.keyFile", `"bundle.pem" cannot be opened: tls.keyPassword is wrong`},
		{record.TLS{KeyFile: "bundle.pem"}, "tls.keyFile", `"bundle.pem" is encrypted`},
		{record.TLS{KeyFile: "old.key", ClientCert: "client.crt", KeyPassword: "hunter2"}, "tls.keyFile", `"old.key" `},
		{record.TLS{KeyFile: "old.key", ClientCert: "client.crt"}, "tls.keyFile", `"old.key" is encrypted`},
		{record.TLS{KeyFile: "none.pem"}, "tls.keyFile", `"none.pem" does not exist`},
		{record.TLS{TrustFile: "none.pem"}, "tls.trustFile", `"none.pem" does not exist`},
		{record.TLS{ClientCert: "none.crt", KeyFile: "plain.key"}, "tls.clientCert", `"none.crt" does not exist`},
		{record.TLS{KeyFile: "client.p12", KeyPassword: "file:none"}, "tls.keyPassword", `"none" does not exist`},
		{record.TLS{TrustFile: "ca.p12", KeyPassword: "hunter2"}, "tls.trustFile", `"ca.p12" cannot be opened`},
		{record.TLS{TrustFile: "ca.p12"}, "tls.trustFile", `"ca.p12" is encrypted`},
		{record.TLS{KeyFile: "plain.key"}, "tls.keyFile", `"plain.key" holds no certificate`},
		{record.TLS{KeyFile: "client.crt"}, "tls.keyFile", `"client.crt" holds no private key`},
		{record.TLS{ClientCert: "client.crt", KeyFile: "other.key"}, "tls.keyFile", `"other.key" holds the key of another certificate`},
		{record.TLS{ClientCert: "plain.key", KeyFile: "plain.key"}, "tls.clientCert", `"plain.key" holds no certificate`},
		{record.TLS{TrustFile: "plain.key"}, "tls.trustFile", `"plain.key" holds no certificate`},
		{record.TLS{TrustFile: "junk"}, "tls.trustFile", `"junk" is neither PEM nor`},
		{record.TLS{KeyFile: "empty"}, "tls.keyFile", `"empty" is neither PEM nor`},
		{record.TLS{TrustAll: true}, "tls.trustAll", "ORDERBRIDGE_ALLOW_TRUST_ALL"},
	} {
		d := withTLS("https://localhost:1/", c.files)
		a := attemptError(t, publish(shortly(t), w, d))
		if a.Fault != bridge.FaultConfig || !strings.HasPrefix(a.Reason, c.member+": ") || !strings.Contains(a.Reason, c.reason) {
			t.Errorf("%+v: %d %s, want %s: …%s", c.files, a.Fault, a.Reason, c.member, c.reason)
		}
		problems := w.Check(d.Subscription)
		if len(problems) != 1 || problems[0].Field != c.member || !problems[0].Warning {
			t.Errorf("checked: %+v", problems)
		}
		if strings.Contains(a.Reason+problems.Error(), "hunter2") {
			t.Errorf("the password is shown: %s", a.Reason)
		}
	}
	if a := attemptError(t, publish(shortly(t), newWebhook(t), withTLS("https://h/", record.TLS{TrustFile: "x"}))); a.Fault != bridge.FaultConfig {
		t.Errorf("without a store of secrets: %+v", a)
	}
}

func TestContractB11KeyFileAsTrust(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	clientCA := credentials(t, dir)
	var shown int
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) { shown = len(r.TLS.PeerCertificates) }, func(s *httptest.Server) {
		s.TLS.ClientAuth, s.TLS.ClientCAs = tls.VerifyClientCertIfGiven, clientCA.Pool()
	})
	// What contract B calls useSslClientCert: false becomes a trustFile.
	if err := publish(shortly(t), noRoots(t, dir), withTLS(server.URL, record.TLS{TrustFile: "client.p12", KeyPassword: keyPassword})); err != nil || shown != 0 {
		t.Errorf("%v, %d certificates shown", err, shown)
	}
}

func TestContractB9UnknownCertificatesAreRefused(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	credentials(t, dir)
	good := receiver(t, func(http.ResponseWriter, *http.Request) {})
	self := selfSigned(t)
	other := receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
		cert, err := testCA(t).Issue("other.example.com")
		ok(t, err)
		s.TLS.Certificates = []tls.Certificate{cert}
	})
	all := newWebhook(t, func(o *Options) { o.AllowTrustAll, o.TrustRoots = true, x509.NewCertPool() })
	for _, c := range []struct {
		url    string
		files  record.TLS
		reason string // "": accepted
	}{
		{good.URL, record.TLS{TrustFile: "ca.pem"}, ""},
		{self.URL, record.TLS{TrustFile: "ca.pem"}, "unknown authority"},
		{other.URL, record.TLS{TrustFile: "ca.pem"}, "not valid for host"},
		{good.URL, record.TLS{MinVersion: "1.2"}, "unknown authority"},
	} {
		err := publish(shortly(t), noRoots(t, dir), withTLS(c.url, c.files))
		if c.reason == "" {
			ok(t, err)
		} else if a := attemptError(t, err); !strings.Contains(a.Reason, c.reason) {
			t.Errorf("%+v: %s, want %s", c.files, a.Reason, c.reason)
		}
		// B8: with the operator's permission each of them is accepted.
		ok(t, publish(shortly(t), all, withTLS(c.url, record.TLS{TrustAll: true})))
	}
	// On loopback, Dev accepts unknown issuers, but not against a trust file.
	dev := newWebhook(t, func(o *Options) { o.Dev, o.Secrets, o.TrustRoots = true, dir, x509.NewCertPool() })
	ok(t, publish(shortly(t), dev, withTLS(self.URL, record.TLS{})))
	if a := attemptError(t, publish(shortly(t), dev, withTLS(self.URL, record.TLS{TrustFile: "ca.pem"}))); !strings.Contains(a.Reason, "unknown authority") {
		t.Error(a.Reason)
	}
}

func TestContractD9MinVersion(t *testing.T) {
	t.Parallel()
	speaks := func(version uint16) *httptest.Server {
		return receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
			s.TLS.MinVersion, s.TLS.MaxVersion = version, version
		})
	}
	v11, v12, v13 := speaks(tls.VersionTLS11), speaks(tls.VersionTLS12), speaks(tls.VersionTLS13)
	w := newWebhook(t, func(o *Options) { o.AllowTrustAll = true })
	for _, c := range []struct {
		server *httptest.Server
		files  record.TLS
		good   bool
	}{
		{v11, record.TLS{}, false},
		{v11, record.TLS{MinVersion: "1.2", TrustAll: true}, false},
		{v12, record.TLS{MinVersion: "1.2"}, true},
		{v12, record.TLS{MinVersion: "1.3"}, false},
		{v12, record.TLS{MinVersion: "1.3", TrustAll: true}, false},
		{v13, record.TLS{MinVersion: "1.3"}, true},
		{v13, record.TLS{}, true},
	} {
		err := publish(shortly(t), w, withTLS(c.server.URL, c.files))
		if c.good {
			ok(t, err)
		} else if a := attemptError(t, err); a.Fault != bridge.FaultTransport || !strings.Contains(a.Reason, "TLS") {
			t.Errorf("%+v: %s", c.files, a.Reason)
		}
	}
}

// clock is a wall clock that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestFilesAreReloaded(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	clientCA := credentials(t, dir)
	var mu sync.Mutex
	var serials, passwords []string
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, password, _ := r.BasicAuth()
		serials, passwords = append(serials, r.TLS.PeerCertificates[0].SerialNumber.String()), append(passwords, password)
	}, requireClient(clientCA))
	now := &clock{now: noon}
	w := newWebhook(t, func(o *Options) { o.Secrets, o.Now = dir, now.Now })
	d := withTLS(server.URL, record.TLS{TrustFile: "ca.pem", KeyFile: "bundle.pem", KeyPassword: keyPassword})
	d.Subscription.More.Auth = &record.Auth{Type: "basic", Username: "u", Password: "file:password"}
	attempt := func() (serial, password string) {
		t.Helper()
		ok(t, publish(shortly(t), w, d))
		mu.Lock()
		defer mu.Unlock()
		return serials[len(serials)-1], passwords[len(passwords)-1]
	}
	first, password := attempt()
	if password != keyPassword {
		t.Errorf("password %q", password)
	}

	fresh := issuedBy(t, clientCA)
	key, err := x509.MarshalPKCS8PrivateKey(fresh.PrivateKey)
	ok(t, err)
	dir.write(t, "bundle.pem", append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fresh.Certificate[0]})...))
	dir.write(t, "password", []byte("changed"))
	if again, password := attempt(); again != first || password != keyPassword {
		t.Error("the files are looked at more than once a second")
	}
	now.pass(recheck)
	if again, password := attempt(); again != fresh.Leaf.SerialNumber.String() || password != "changed" {
		t.Errorf("the new files are not used: %s, %s", again, password)
	}

	// A file that is gone fails the attempt, and one that is back mends it at once.
	content, err := dir.ReadKey("bundle.pem", record.SecretUse{})
	ok(t, err)
	ok(t, os.Remove(filepath.Join(string(dir), "bundle.pem")))
	now.pass(recheck)
	for range 2 {
		if a := attemptError(t, publish(shortly(t), w, d)); a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, `tls.keyFile: file "bundle.pem" does not exist`) {
			t.Errorf("%+v", a)
		}
	}
	dir.write(t, "bundle.pem", content)
	attempt()

	// A failed attempt has the files looked at before the next one.
	server.Close()
	attemptError(t, publish(shortly(t), w, d))
	ok(t, os.Remove(filepath.Join(string(dir), "password")))
	if a := attemptError(t, publish(shortly(t), w, d)); a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, "auth.password") {
		t.Errorf("%+v", a)
	}
}

func TestConnectionsArePooledByTLSSetting(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	credentials(t, dir)
	var mu sync.Mutex
	remotes := map[string]bool{}
	server := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		remotes[r.RemoteAddr] = true
	})
	w := noRoots(t, dir)
	for range 3 { // records of their own with equal settings
		ok(t, publish(shortly(t), w, withTLS(server.URL, record.TLS{TrustFile: "ca.pem"})))
	}
	ok(t, publish(shortly(t), w, withTLS(server.URL, record.TLS{TrustFile: "ca.pem", MinVersion: "1.3"})))
	if len(remotes) != 2 {
		t.Errorf("%d connections for 2 settings", len(remotes))
	}
	// The records are gone: their pools go too.
	waitFor(t, func() bool {
		runtime.GC()
		w.pools.mu.Lock()
		defer w.pools.mu.Unlock()
		return len(w.pools.all) == 0
	})
}

// A key that other tools have made.
func TestKeysOfOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := lookPath(t, "openssl")
	dir := directory(t.TempDir())
	clientCA := credentials(t, dir)
	for _, args := range []string{
		"pkcs12 -export -in client.crt -inkey plain.key -certfile ca.pem -passout pass:" + keyPassword + " -out o.p12",
		"pkcs12 -export -legacy -in client.crt -inkey plain.key -passout pass:" + keyPassword + " -out o-legacy.p12",
		"pkcs8 -topk8 -in plain.key -passout pass:" + keyPassword + " -out o.key",
		"pkcs8 -topk8 -scrypt -in plain.key -passout pass:" + keyPassword + " -out o-scrypt.key",
		"pkcs8 -topk8 -v2 des3 -in plain.key -passout pass:" + keyPassword + " -out o-des3.key",
		"ec -aes128 -in plain.key -passout pass:" + keyPassword + " -out o-ec.key",
	} {
		args := strings.Fields(strings.ReplaceAll(args, " ü", "\x00"))
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "\x00", " ü")
		}
		runIn(t, string(dir), openssl, args...)
	}
	server := receiver(t, func(http.ResponseWriter, *http.Request) {}, requireClient(clientCA))
	for _, key := range []string{"o.p12", "o-legacy.p12", "o.key", "o-scrypt.key", "o-des3.key", "o-ec.key"} {
		files := record.TLS{TrustFile: "ca.pem", KeyFile: key, KeyPassword: keyPassword}
		if strings.HasSuffix(key, ".key") {
			files.ClientCert = "client.crt"
		}
		if err := publish(shortly(t), noRoots(t, dir), withTLS(server.URL, files)); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		files.KeyPassword = "hunter2"
		a := attemptError(t, publish(shortly(t), noRoots(t, dir), withTLS(server.URL, files)))
		if a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, "tls.keyPassword is wrong") {
			t.Errorf("%s with a wrong password: %s", key, a.Reason)
		}
	}
}

// What cannot be used is told as what it is: neither as a wrong password nor as no such file.
func TestKeysThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	openssl := lookPath(t, "openssl")
	dir := directory(t.TempDir())
	credentials(t, dir)
	runIn(t, string(dir), openssl, "genpkey", "-algorithm", "ED448", "-out", "ed448.key")
	runIn(t, string(dir), openssl, "genrsa", "-out", "rsa.key", "2048")
	for _, made := range []struct{ file, args, reason string }{
		{"camellia.key", "rsa -in rsa.key -camellia256 -traditional -passout PASSWORD -out FILE", "encrypted in a way that is not known here; convert it"},
		{"nomac.p12", "pkcs12 -export -nomac -in client.crt -inkey plain.key -passout PASSWORD -out FILE", "PKCS#12 without a MAC"},
		{"certificate.p12", "pkcs12 -export -nokeys -in client.crt -passout PASSWORD -out FILE", "is PKCS#12 that holds something else"},
		{"key.p12", "pkcs12 -export -nocerts -inkey ed448.key -passout PASSWORD -out FILE", "is PKCS#12 that holds something else"},
		{"other.pem", "pkcs8 -topk8 -in ed448.key -passout PASSWORD -out FILE", "holds a key that cannot be read; keys may be RSA"},
		{"explicit.pem", "ecparam -genkey -name prime256v1 -param_enc explicit -noout -out FILE", "holds a key that cannot be read; keys may be RSA"},
		{"der.key", "pkcs8 -topk8 -nocrypt -in plain.key -outform DER -out FILE", "is a key in DER; convert it"},
	} {
		runIn(t, string(dir), openssl, strings.Fields(strings.NewReplacer("PASSWORD", "pass:secret", "FILE", made.file).Replace(made.args))...)
		files := record.TLS{ClientCert: "client.crt", KeyFile: made.file, KeyPassword: "secret"}
		a := attemptError(t, publish(shortly(t), noRoots(t, dir), withTLS("https://localhost:1/", files)))
		if a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, made.reason) {
			t.Errorf("%s: %s", made.file, a.Reason)
		}
	}
	for text, want := range map[string]error{
		"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n": errOpenSSH,
		"-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n":         errKeyKind,
		"\xce\xce\xce\xce\x00": errKeyStore,
	} {
		if _, _, err := keyFile([]byte(text), ""); !errors.Is(err, want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT CHECKED: there is no %s; .ci/run installs it", name)
	}
	return path
}

func runIn(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out.String())
	}
}
