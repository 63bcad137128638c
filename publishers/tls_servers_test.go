package publishers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// Servers as they are: those that ask for a client certificate in an odd way,
// that know only old ciphers, or that show certificates which nobody accepts.

// The server's list of authorities does not name the one of the certificate.
func TestClientCertificateIsShownWhateverTheServerNames(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	credentials(t, dir)
	self := issued(t, lab.SelfSigned)
	cert, key, err := localca.PEMPair(self)
	ok(t, err)
	dir.write(t, "self.crt", cert)
	dir.write(t, "self.key", key)
	stranger, err := lab.NewCA()
	ok(t, err)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var shown []*x509.Certificate
		server := receiver(t, func(_ http.ResponseWriter, r *http.Request) { shown = r.TLS.PeerCertificates }, func(s *httptest.Server) {
			s.TLS.ClientAuth, s.TLS.ClientCAs, s.TLS.MaxVersion = tls.RequireAnyClientCert, stranger.Pool(), version
		})
		for file, files := range map[string]record.TLS{
			"client.crt": {TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "plain.key"},
			"self.crt":   {TrustFile: "ca.pem", ClientCert: "self.crt", KeyFile: "self.key"},
		} {
			shown = nil
			ok(t, publish(shortly(t), noRoots(t, dir), withTLS(server.URL, files)))
			data, err := dir.ReadKey(file, record.SecretUse{})
			ok(t, err)
			want, err := pemCertificates(data)
			ok(t, err)
			if len(shown) == 0 || !shown[0].Equal(want[0]) {
				t.Errorf("TLS %x, %s: %d certificates shown", version, file, len(shown))
			}
		}
		// A record that asks for none shows none.
		if a := attemptError(t, publish(shortly(t), noRoots(t, dir), withTLS(server.URL, record.TLS{TrustFile: "ca.pem"}))); !strings.Contains(a.Reason, "tls.keyFile") {
			t.Errorf("TLS %x: %s", version, a.Reason)
		}
	}
}

// Apache asks for a certificate once it has seen the path: in TLS 1.2 by a
// second handshake, amid the request.
func TestRenegotiationForAClientCertificate(t *testing.T) {
	t.Parallel()
	apache := lookPath(t, "apache2")
	dir := directory(t.TempDir())
	credentials(t, dir)
	cert, key, err := localca.PEMPair(issued(t, testCA(t).Issue))
	ok(t, err)
	dir.write(t, "server.crt", cert)
	dir.write(t, "server.key", key)
	ok(t, os.MkdirAll(filepath.Join(string(dir), "www", "in"), 0o755))
	dir.write(t, "www/in/index.html", []byte("good"))
	address := freeAddress(t)
	dir.write(t, "apache.conf", fmt.Appendf(nil, `
ServerName localhost
ServerRoot %[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule socache_shmcb_module /usr/lib/apache2/modules/mod_socache_shmcb.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
Mutex file:%[1]s default
Listen %[2]s
DocumentRoot %[1]s/www
DirectoryIndex index.html
<VirtualHost *>
  SSLEngine on
  SSLProtocol TLSv1.2
  SSLCertificateFile %[1]s/server.crt
  SSLCertificateKeyFile %[1]s/server.key
  SSLCACertificateFile %[1]s/other-ca.pem
  <Location /in>
    SSLVerifyClient require
  </Location>
</VirtualHost>
`, string(dir), address))
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, apache, "-f", filepath.Join(string(dir), "apache.conf"), "-D", "FOREGROUND")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	ok(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
	})
	waitForPort(t, address)

	_, port, _ := net.SplitHostPort(address)
	target := "https://localhost:" + port + "/in/index.html"
	with := record.TLS{TrustFile: "ca.pem", ClientCert: "client.crt", KeyFile: "plain.key"}
	w := noRoots(t, dir)
	for range 3 { // on a connection of its own and on one that is kept
		d := withTLS(target, with)
		d.Subscription.Method = "GET"
		if err := publish(shortly(t), w, d); err != nil {
			log, _ := dir.ReadKey("error.log", record.SecretUse{})
			t.Fatalf("%v\n%s", err, log)
		}
	}
	// With a body, on a connection of its own: it is sent before the server asks.
	ok(t, publish(shortly(t), noRoots(t, dir), withTLS(target, with)))
	without := withTLS(target, record.TLS{TrustFile: "ca.pem"})
	if a := attemptError(t, publish(shortly(t), w, without)); a.Fault == 0 {
		t.Errorf("without a certificate: %+v", a)
	}
}

func TestOldKeyExchangesByName(t *testing.T) {
	t.Parallel()
	cert := rsaCertificate(t)
	server := func(suites ...uint16) *httptest.Server {
		return receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
			s.TLS.Certificates, s.TLS.MaxVersion, s.TLS.CipherSuites = []tls.Certificate{cert}, tls.VersionTLS12, suites
		})
	}
	old := server(tls.TLS_RSA_WITH_AES_256_GCM_SHA384)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	w := newWebhook(t, func(o *Options) { o.TrustRoots = roots })
	a := attemptError(t, publish(shortly(t), w, withTLS(old.URL, record.TLS{})))
	if a.Fault != bridge.FaultTransport || !strings.Contains(a.Reason, "tls.cipherSuites") {
		t.Errorf("by default: %+v, want a refusal that names tls.cipherSuites", a)
	}
	a = attemptError(t, publish(shortly(t), w, withTLS(old.URL, record.TLS{CipherSuites: []string{"TLS_RSA_WITH_AES_128_CBC_SHA"}})))
	if !strings.Contains(a.Reason, "tls.cipherSuites") {
		t.Errorf("another one is allowed: %s", a.Reason)
	}
	for _, name := range record.OldCipherSuites {
		var id uint16
		for _, s := range tls.InsecureCipherSuites() {
			if s.Name == name {
				id = s.ID
			}
		}
		if id == 0 {
			t.Fatalf("crypto/tls does not know %s any more", name)
		}
		ok(t, publish(shortly(t), w, withTLS(server(id).URL, record.TLS{CipherSuites: []string{name}})))
	}
	// What is allowed beside the default ones takes nothing from them.
	modern := server(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)
	ok(t, publish(shortly(t), w, withTLS(modern.URL, record.TLS{CipherSuites: record.OldCipherSuites})))
}

func rsaCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	ok(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ok(t, err)
	leaf, err := x509.ParseCertificate(der)
	ok(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// What is wrong with a certificate is told apart, with the remedy.
func TestWhyACertificateIsRefused(t *testing.T) {
	t.Parallel()
	openssl := lookPath(t, "openssl")
	dir := directory(t.TempDir())
	runIn(t, string(dir), openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=old authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.crt")
	runIn(t, string(dir), openssl, "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=erp.example.com", "-keyout", "sha1.key", "-out", "sha1.csr")
	dir.write(t, "ext", []byte("subjectAltName=DNS:localhost,IP:127.0.0.1\n"))
	runIn(t, string(dir), openssl, "x509", "-req", "-sha1", "-in", "sha1.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-extfile", "ext", "-out", "sha1.crt")
	sha1, err := tls.LoadX509KeyPair(filepath.Join(string(dir), "sha1.crt"), filepath.Join(string(dir), "sha1.key"))
	ok(t, err)
	stranger, err := lab.NewCA()
	ok(t, err)
	later, err := testCA(t).IssueFor(time.Now().Add(time.Hour), time.Now().Add(2*time.Hour), "localhost", "127.0.0.1")
	ok(t, err)
	expired, err := lab.Expired(testCA(t))("localhost", "127.0.0.1")
	ok(t, err)
	elsewhere, err := testCA(t).Issue("a.example.com", "b.example.com")
	ok(t, err)
	for _, c := range []struct {
		name  string
		cert  tls.Certificate
		trust string
		want  []string
	}{
		{"SHA-1", sha1, "ca.crt", []string{`"erp.example.com"`, "SHA1-RSA", "SHA-256"}},
		{"unknown", issued(t, stranger.Issue), "", []string{"unknown authority", `"orderbridge local authority"`, "intermediate", "tls.trustFile", "ORDERBRIDGE_TRUST_ROOTS"}},
		{"self-signed", issued(t, lab.SelfSigned), "", []string{"by itself", "tls.trustFile", "ORDERBRIDGE_TRUST_ROOTS"}},
		{"expired", expired, "", []string{`"orderbridge local" has expired at 20`}},
		{"not yet", later, "", []string{"not valid before 20", "clock"}},
		{"other host", elsewhere, "", []string{`not valid for host "127.0.0.1"`, "only for a.example.com, b.example.com"}},
	} {
		server := receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{c.cert} })
		w := newWebhook(t, func(o *Options) { o.Secrets = dir })
		a := attemptError(t, publish(shortly(t), w, withTLS(server.URL, record.TLS{TrustFile: c.trust})))
		for _, want := range c.want {
			if a.Fault != bridge.FaultTransport || !strings.HasPrefix(a.Reason, "TLS: ") || !strings.Contains(a.Reason, want) {
				t.Errorf("%s: %s, want %s", c.name, a.Reason, want)
			}
		}
	}
}

// Files as editors and other tools leave them.
func TestFilesOfOtherTools(t *testing.T) {
	t.Parallel()
	dir := directory(t.TempDir())
	clientCA := credentials(t, dir)
	for _, name := range []string{"several.p12", "two.pem", "store.jks"} {
		data, err := os.ReadFile(filepath.Join("testdata", "keys", name))
		ok(t, err)
		dir.write(t, name, data)
	}
	for _, name := range []string{"ca.pem", "client.crt", "plain.key", "bundle.pem"} {
		data, err := dir.ReadKey(name, record.SecretUse{})
		ok(t, err)
		dir.write(t, "bom-"+name, append([]byte("\xef\xbb\xbf"), data...))
		wide := []byte("\xff\xfe")
		for _, u := range utf16.Encode([]rune(string(data))) {
			wide = binary.LittleEndian.AppendUint16(wide, u)
		}
		dir.write(t, "utf16-"+name, wide)
		dir.write(t, "crlf-"+name, []byte(strings.ReplaceAll(string(data), "\n", "\r\n")))
	}
	for from, to := range map[string]string{"ca.pem": "ca.der", "client.crt": "client.der"} {
		data, err := dir.ReadKey(from, record.SecretUse{})
		ok(t, err)
		block, _ := pem.Decode(data)
		dir.write(t, to, block.Bytes)
	}
	server := receiver(t, func(http.ResponseWriter, *http.Request) {}, requireClient(clientCA))
	for _, files := range []record.TLS{
		{TrustFile: "bom-ca.pem", ClientCert: "bom-client.crt", KeyFile: "bom-plain.key"},
		{TrustFile: "utf16-ca.pem", ClientCert: "utf16-client.crt", KeyFile: "utf16-plain.key"},
		{TrustFile: "crlf-ca.pem", KeyFile: "crlf-bundle.pem", KeyPassword: keyPassword},
		{TrustFile: "bom-ca.pem", KeyFile: "bom-bundle.pem", KeyPassword: keyPassword},
		{TrustFile: "ca.der", ClientCert: "client.der", KeyFile: "plain.key"},
	} {
		if err := publish(shortly(t), noRoots(t, dir), withTLS(server.URL, files)); err != nil {
			t.Errorf("%+v: %v", files, err)
		}
	}

	var shown []*x509.Certificate
	anyone := receiver(t, func(_ http.ResponseWriter, r *http.Request) { shown = r.TLS.PeerCertificates }, func(s *httptest.Server) {
		s.TLS.ClientAuth = tls.RequireAnyClientCert
	})
	ok(t, publish(shortly(t), noRoots(t, dir), withTLS(anyone.URL, record.TLS{TrustFile: "ca.pem", ClientCert: "two.pem", KeyFile: "several.p12", KeyPassword: "hunter22"})))
	if len(shown) != 1 || shown[0].Subject.CommonName != "client two" {
		t.Errorf("of several keys, the one of tls.clientCert: shown %v", shown)
	}
	for want, files := range map[string]record.TLS{
		`tls.keyFile: file "several.p12" holds several keys with a certificate each; name the file of the right certificate in tls.clientCert`: {KeyFile: "several.p12", KeyPassword: "hunter22"},
		`tls.keyFile: file "several.p12" cannot be opened: tls.keyPassword is wrong`:                                                           {KeyFile: "several.p12", KeyPassword: "hunter2"},
		`tls.keyFile: file "store.jks" is a Java key store; convert it`:                                                                        {KeyFile: "store.jks", KeyPassword: "hunter22"},
		`tls.trustFile: file "store.jks" is a Java key store; convert it`:                                                                      {TrustFile: "store.jks"},
	} {
		if a := attemptError(t, publish(shortly(t), noRoots(t, dir), withTLS(anyone.URL, files))); a.Fault != bridge.FaultConfig || !strings.HasPrefix(a.Reason, want) {
			t.Errorf("%+v: %s, want %s", files, a.Reason, want)
		}
	}
}

// Token servers as they are.
func TestTokenAnswersOfOtherServers(t *testing.T) {
	t.Parallel()
	var got string
	endpoint := receiver(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	for _, c := range []struct{ name, contentType, answer, reason string }{
		{"a fraction", "application/json", `{"access_token":"t","expires_in":3599.9}`, ""},
		{"a text", "application/json", `{"access_token":"t","expires_in":"3599.9"}`, ""},
		{"an exponent", "application/json", `{"access_token":"t","expires_in":3.6e3}`, ""},
		{"no number", "application/json", `{"access_token":"t","expires_in":"soon"}`, ""},
		{"null", "application/json", `{"access_token":"t","expires_in":null,"error":null}`, ""},
		{"JSON as text", "text/plain; charset=utf-8", `{"access_token":"t","expires_in":3600}`, ""},
		{"JSON as a form", "application/x-www-form-urlencoded", " \xef\xbb\xbf", "no valid answer"},
		{"JSON as HTML", "text/html", "\xef\xbb\xbf" + `{"access_token":"t"}`, ""},
		{"a form", "application/x-www-form-urlencoded", `access_token=t&expires_in=3600`, ""},
		{"200 with error", "application/json", `{"error":"invalid_scope","error_description":"no such scope"}`, "200 OK: invalid_scope (no such scope)"},
		{"200 with error and text", "text/plain", `{"error":"temporarily_unavailable"}`, "200 OK: temporarily_unavailable"},
		{"an object as error", "application/json", `{"error":{"code":7}}`, `200 OK: {"code":7}`},
		{"an empty error", "application/json", `{"access_token":"t","error":""}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tokens := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", c.contentType)
				_, _ = io.WriteString(w, c.answer)
			})
			d := delivery(endpoint.URL)
			d.Subscription.More = &record.More{Auth: &record.Auth{Type: "client_credential", ClientID: "c", ClientSecret: "s3cret", TokenURL: tokens.URL}}
			got = ""
			err := publish(shortly(t), newWebhook(t), d)
			if c.reason == "" {
				if err != nil || got != "Bearer t" {
					t.Errorf("%v, Authorization %q", err, got)
				}
			} else if a := attemptError(t, err); !strings.Contains(a.Reason, c.reason) {
				t.Errorf("%s, want %s", a.Reason, c.reason)
			}
		})
	}
}

// A server that wants client id and secret in the body, says so with 200, and
// wants to know whom the token is for.
func TestTokenAudience(t *testing.T) {
	t.Parallel()
	var got string
	endpoint := receiver(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	tokens := receiver(t, asJSON(func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_secret") != "s3cret" {
			_, _ = io.WriteString(w, `{"error":"invalid_client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q}`, "for:"+r.PostFormValue("audience"))
	}))
	d := delivery(endpoint.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "client_credential", ClientID: "c", ClientSecret: "s3cret", TokenURL: tokens.URL, Audience: "https://api.example.com/"}}
	if err := publish(shortly(t), newWebhook(t), d); err != nil || got != "Bearer for:https://api.example.com/" {
		t.Errorf("%v, Authorization %q", err, got)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	ok(t, err)
	defer l.Close()
	return l.Addr().String()
}

func waitForPort(t *testing.T, address string) {
	t.Helper()
	waitFor(t, func() bool {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
