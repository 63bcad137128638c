package e2e

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/embedded"
	"orderbridge/internal/lab"
	"orderbridge/internal/natstools"
)

// connects tells whether somebody with these options gets in and may use JetStream.
func connects(t *testing.T, url string, o ...nats.Option) bool {
	t.Helper()
	nc, err := nats.Connect(url, append(o, nats.Timeout(lab.Patience), nats.NoReconnect())...)
	if err != nil {
		return false
	}
	defer nc.Close()
	reply, err := nc.Request("$JS.API.INFO", nil, 10*time.Second)
	return err == nil && strings.Contains(string(reply.Data), "account_info")
}

// A local user who does not read the data directory gets nothing from an
// embedded server with credentials, in none of the ways; the commands and the
// program nats of the user who runs it work without more ado.
func TestAttackLocalUserOnTheEmbeddedServer(t *testing.T) {
	attack(t)
	listen, dir := freeAddress(t), filepath.Join(t.TempDir(), "data")
	url := "nats://" + listen
	env := []string{"ORDERBRIDGE_NATS_LISTEN=" + listen, "ORDERBRIDGE_DATA_DIR=" + dir, "ORDERBRIDGE_EMBEDDED_AUTH=credentials"}
	p := launch(t, env...)
	p.leads()

	strangersStayOut(t, url)
	if strings.Contains(p.Output(), "SU") && strings.Contains(p.Output(), "seed=") {
		t.Error("the log shows a seed")
	}
	filesArePrivate(t, dir)
	noOtherPort(t, p)

	e := receive(t, nil)
	if out, code := commandWith(t, env, recordFor(e), "subscriptions", "put", "acme", "-"); code != 0 {
		t.Fatalf("put: %s", out)
	}
	// a command that has another idea of the setting
	if out, code := commandWith(t, env[:2], "", "subscriptions", "get", "acme"); code != 0 {
		t.Errorf("get: %s", out)
	}
	if out, code := commandWith(t, []string{env[0], "ORDERBRIDGE_DATA_DIR=" + t.TempDir()}, "", "subscriptions", "list"); code != 1 || !strings.Contains(out, "which only the user who runs it may read") {
		t.Errorf("without the data directory: %d %s", code, out)
	}
	useContext(t, env, url)

	if out, code := commandWith(t, env, "", "nats", "rotate"); code != 0 {
		t.Fatalf("rotate: %s", out)
	}
	p.said(20*time.Second, `has (new credentials)`)
	useContext(t, env, url)
	js := jetStreamWith(t, url, dir)
	publishOne(t, js, "4711", 1)
	e.came(t, 1)

	p.stop()
	opensAndCloses(t, url, env)
}

func strangersStayOut(t *testing.T, url string) {
	t.Helper()
	elsewhere := t.TempDir()
	if err := embedded.NewSeed(elsewhere); err != nil {
		t.Fatal(err)
	}
	other, err := nats.NkeyOptionFromSeed(embedded.SeedFile(elsewhere))
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string][]nats.Option{
		"nothing": nil, "a password": {nats.UserInfo("admin", "admin")}, "an empty one": {nats.UserInfo("", "")}, "a token": {nats.Token("x")}, "another nkey": {other},
	} {
		if connects(t, url, o...) {
			t.Errorf("somebody gets in with %s", name)
		}
	}
}

func filesArePrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server has just removed it
		}
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s may be read by others: %s", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// noOtherPort is open, as of monitoring.
func noOtherPort(t *testing.T, p *program) {
	t.Helper()
	if out, err := exec.CommandContext(within(t, 10*time.Second), "ss", "-Htlnp").Output(); err == nil {
		if n := strings.Count(string(out), "pid="+strconv.Itoa(p.Pid())+","); n > 2 {
			t.Errorf("it listens on %d ports:\n%s", n, out)
		}
	}
}

// opensAndCloses the server on the same data.
func opensAndCloses(t *testing.T, url string, env []string) {
	t.Helper()
	p := launch(t, env[:2]...)
	p.leads()
	if !connects(t, url) {
		t.Error("an open server asks for credentials")
	}
	if out, code := commandWith(t, env[:2], "", "subscriptions", "get", "acme"); code != 0 {
		t.Errorf("get after it was opened: %s", out)
	}
	p.stop()
	p = launch(t, env...)
	p.leads()
	if connects(t, url) {
		t.Error("somebody gets in without credentials")
	}
	if out, code := commandWith(t, env, "", "subscriptions", "get", "acme"); code != 0 {
		t.Errorf("get after it was closed: %s", out)
	}
}

// useContext has the program nats put and get with a context of ours.
func useContext(t *testing.T, env []string, url string) {
	t.Helper()
	program, home := natstools.Find(t, natstools.CLI), t.TempDir()
	env = append([]string{"XDG_CONFIG_HOME=" + home, "HOME=" + home}, env...)
	out, code := commandWith(t, env, "", "nats", "context")
	path := filepath.Join(home, "nats", "context", "orderbridge.json")
	info, err := os.Stat(path)
	if code != 0 || err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(out, path) {
		t.Fatalf("nats context: %d %s, %v", code, out, err)
	}
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(within(t, 30*time.Second), program, args...)
		cmd.Env = append(environment(t), env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("--context", "orderbridge", "kv", "put", "subscriptions", "other", `{"targetURL":"https://erp.example.com/"}`); err != nil {
		t.Errorf("nats kv put: %v %s", err, out)
	}
	if out, err := run("--context", "orderbridge", "kv", "get", "subscriptions", "other", "--raw"); err != nil || !strings.Contains(out, "erp.example.com") {
		t.Errorf("nats kv get: %v %s", err, out)
	}
	if out, err := run("-s", url, "kv", "get", "subscriptions", "other", "--raw"); err == nil {
		t.Errorf("nats kv get without the context: %s", out)
	}
}

func jetStreamWith(t *testing.T, url, dir string) jetstream.JetStream {
	t.Helper()
	o, err := nats.NkeyOptionFromSeed(filepath.Join(dir, "nats", "admin.nk"))
	if err != nil {
		t.Fatal(err)
	}
	return lab.JetStream(t, lab.Dial(t, url, o))
}

// An open server stays on the machine.
func TestAttackNetworkOnTheOpenEmbeddedServer(t *testing.T) {
	attack(t)
	_, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, listen := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "192.0.2.1:" + port} {
		ctx, cancel := patiently(0)
		cmd := exec.CommandContext(ctx, "orderbridge", "serve")
		cmd.Env = environment(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+t.TempDir())
		out, _ := cmd.CombinedOutput()
		cancel()
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "ORDERBRIDGE_EMBEDDED_AUTH=credentials") {
			t.Errorf("%s: exit code %d: %s", listen, cmd.ProcessState.ExitCode(), out)
		}
	}
}
