package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
	"orderbridge/internal/natstools"
)

// natsCLI is the program nats with contexts of its own.
type natsCLI struct {
	t       *testing.T
	program string
	env     []string // HOME and XDG_CONFIG_HOME
}

func newNatsCLI(t *testing.T) *natsCLI {
	t.Helper()
	home := t.TempDir()
	return &natsCLI{t, natstools.Find(t, natstools.CLI), []string{"HOME=" + home, "XDG_CONFIG_HOME=" + filepath.Join(home, "config")}}
}

func (n *natsCLI) run(args ...string) {
	n.t.Helper()
	cmd := exec.CommandContext(within(n.t, 30*time.Second), n.program, args...)
	cmd.Env = append(os.Environ(), n.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("nats %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// edit changes a context as a person does in an editor.
func (n *natsCLI) edit(name, was, is string) {
	n.t.Helper()
	path := filepath.Join(strings.TrimPrefix(n.env[1], "XDG_CONFIG_HOME="), "nats", "context", name+".json")
	content, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(content), was) {
		n.t.Fatalf("edit %s: %v in %s", path, err, content)
	}
	write(n.t, path, []byte(strings.Replace(string(content), was, is, 1)))
}

// orderbridge runs a command of ours with the contexts of the program nats.
func (n *natsCLI) orderbridge(env []string, args ...string) (string, int) {
	n.t.Helper()
	cmd := exec.CommandContext(within(n.t, 30*time.Second), "orderbridge", args...)
	cmd.Env = append(environment(n.t, n.env...), env...)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		n.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// contextFiles are those that contexts name.
type contextFiles struct{ cert, key, ca, seed, public string }

func writeContextFiles(t *testing.T) (f contextFiles, seed string) {
	t.Helper()
	ca, err := lab.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		write(t, path, content)
		return path
	}
	cert, err := ca.Issue("127.0.0.1", "bridge")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := localca.PEMPair(cert)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, caFile := file("tls.crt", certPEM), file("tls.key", keyPEM), file("ca.pem", ca.PEM())
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return contextFiles{certFile, keyFile, caFile, file("bridge.nk", raw), public}, string(raw)
}

// What `nats context save` wrote is enough for the bridge and every command,
// whatever kind of credentials it holds.
func TestContextsOfTheProgramNats(t *testing.T) {
	t.Parallel()
	n := newNatsCLI(t)
	f, seed := writeContextFiles(t)
	for name, tt := range map[string]struct {
		set  func(*server.Options)
		args []string
	}{
		"user":  {userPassword("hunter2"), []string{"--user", "bridge", "--password", "hunter2", "--inbox-prefix", "_INBOX_bridge"}},
		"token": {func(o *server.Options) { o.Authorization = "hunter2" }, nil}, // written as `nats context edit` does
		"nkey":  {func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: f.public}} }, []string{"--nkey", f.seed}},
		"tls": {func(o *server.Options) {
			o.TLS, o.TLSVerify, o.TLSTimeout, o.TLSHandshakeFirst = true, true, 5, true
			o.TLSCert, o.TLSKey, o.TLSCaCert = f.cert, f.key, f.ca
			var err error
			if o.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{CertFile: f.cert, KeyFile: f.key, CaFile: f.ca, Verify: true}); err != nil {
				t.Fatal(err)
			}
		}, []string{"--tlscert", f.cert, "--tlskey", f.key, "--tlsca", f.ca, "--tlsfirst"}},
		"domain": {func(o *server.Options) { o.JetStreamDomain = "hub" }, []string{"--js-domain", "hub"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := &natsCLI{t, n.program, n.env}
			g := guard(t, tt.set)
			n.run(append([]string{"context", "save", name, "--server", g.url()}, tt.args...)...)
			if name == "token" {
				n.edit(name, `"token": ""`, `"token": "hunter2"`)
			}
			n.contextServes(name, "hunter2", seed)
		})
	}
}

// contextServes runs the bridge and commands with a context; none of them shows
// one of the secrets.
func (n *natsCLI) contextServes(name string, secrets ...string) {
	t := n.t
	t.Helper()
	p := launch(t, append(slices.Clone(n.env), "ORDERBRIDGE_NATS_CONTEXT="+name)...)
	p.leads()
	// nats itself and ours see the same.
	e := receive(t, nil)
	n.run("--context", name, "kv", "put", "subscriptions", "s", recordFor(e))
	out, code := n.orderbridge([]string{"ORDERBRIDGE_NATS_URL=nats://127.0.0.1:1"}, "--context", name, "subscriptions", "list", "-o", "json")
	if code != exitGood || !strings.Contains(out, `"s"`) {
		t.Errorf("subscriptions list: %d, %s", code, out)
	}
	await(t, 20*time.Second, "the record is active", func() bool {
		out, _ := n.orderbridge(nil, "--context", name, "subscriptions", "list")
		return strings.Contains(out, "active")
	})
	n.run("--context", name, "pub", "orders.acme.OrderChanged.4711", `{"orderId":"4711","n":1}`)
	if h := e.came(t, 1); h.Order != "4711" {
		t.Errorf("delivered %q", h.Body)
	}
	for _, secret := range secrets {
		if strings.Contains(p.Output()+out, secret) {
			t.Error("a secret is shown")
		}
	}
}

// What a context lacks, or has too much of, is told.
func TestContextThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	n := newNatsCLI(t)
	n.run("context", "save", "good", "--server", "nats://127.0.0.1:1", "--user", "bridge", "--password", "hunter2")
	place := filepath.Join(strings.TrimPrefix(n.env[1], "XDG_CONFIG_HOME="), "nats", "context")
	save := func(name string, members map[string]any) string {
		content, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(place, name+".json")
		write(t, path, content)
		return path
	}
	save("nsc", map[string]any{"url": "nats://127.0.0.1:1", "nsc": "nsc://a/b/c"})
	save("op", map[string]any{"url": "nats://127.0.0.1:1", "token": "op://vault/item/hunter2"})
	save("nowhere", map[string]any{"description": "x"})
	write(t, filepath.Join(place, "broken.json"), []byte(`{"password":"hunter2"`))
	byPath := save("nokey", map[string]any{"url": "nats://127.0.0.1:1", "creds": "/none/bridge.creds"})
	for _, tt := range []struct {
		env  string
		args []string
		code int
		want string
	}{
		{"", []string{"--context", "prod"}, exitUsage, `there is no context "prod" of the program nats: no file ` + filepath.Join(place, "prod.json") + "; there are broken, good, nokey, nowhere, nsc, op"},
		{"", []string{"--context", "../prod"}, exitUsage, "is not a valid context name"},
		{"", []string{"--context", "nsc"}, exitUsage, "its credentials come from nsc"},
		{"", []string{"--context", "op"}, exitUsage, "token: it comes from op://"},
		{"", []string{"--context", "nowhere"}, exitUsage, "it has no url"},
		{"", []string{"--context", "broken"}, exitUsage, "it is not what `nats context save` writes"},
		{"", []string{"--context", byPath}, exitFailed, "/none/bridge.creds"},
		{"ORDERBRIDGE_NATS_CONTEXT=good", nil, exitFailed, `check context "good"`},
		{"ORDERBRIDGE_NATS_CONTEXT=good", []string{"--context", "prod"}, exitUsage, `no context "prod"`},
		{"NATS_CONTEXT=good", nil, exitFailed, "is `orderbridge serve` running? (ORDERBRIDGE_NATS_URL is empty"},
	} {
		env := []string{tt.env, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:1"}
		out, code := n.orderbridge(env, append(tt.args, "subscriptions", "list")...)
		if code != tt.code || !strings.Contains(out, tt.want) || strings.Contains(out, "hunter2") {
			t.Errorf("%s %v: exit code %d, want %d, and %q in\n%s", tt.env, tt.args, code, tt.code, tt.want, out)
		}
	}
	if out, code := n.orderbridge([]string{"ORDERBRIDGE_NATS_CONTEXT=good", "ORDERBRIDGE_NATS_URL=nats://127.0.0.1:1"}, "config"); code != exitUsage || !strings.Contains(out, "is set beside ORDERBRIDGE_NATS_URL; choose one") {
		t.Errorf("both: %d, %s", code, out)
	}
}
