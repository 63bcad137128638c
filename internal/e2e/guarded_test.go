package e2e

import (
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/bus"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// The accounts that are shipped, and those of the build before, in which all
// users share one.
const (
	shippedAccounts = "../../deploy/nats/accounts.conf"
	formerAccounts  = "testdata/accounts-former.conf"
)

// guardedBus is one server with the configuration of deploy/nats, and the
// files of its users.
type guardedBus struct {
	dir      string // holds the configuration and tls/
	url      string
	server   *server.Server
	options  *server.Options
	accounts string // the file that it was made of
	prefix   string // under which users outside of the bridge's account reach JetStream
}

var guardedUsers = []string{"publisher", "manager", "operator", "auditor", "bridge"}

// guarded starts it with the shipped accounts.
func guarded(t *testing.T) *guardedBus { return guardedWith(t, shippedAccounts, nil) }

// guardedWith starts it with the accounts in a file, changed by change.
func guardedWith(t *testing.T, accounts string, change func(text string) string) *guardedBus {
	t.Helper()
	b := &guardedBus{dir: t.TempDir(), accounts: accounts}
	if accounts == shippedAccounts {
		b.prefix = "ORD.API"
	}
	if change == nil {
		change = func(text string) string { return text }
	}
	if err := os.Mkdir(filepath.Join(b.dir, "tls"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.certificates(t)
	at := strings.NewReplacer(`"tls/`, `"`+b.dir+"/tls/", "$SERVER_NAME", "nats-1", "$STORE_DIR", `"`+t.TempDir()+`"`)
	write(t, filepath.Join(b.dir, "nats.conf"), []byte(at.Replace(readText(t, "../../deploy/nats/nats.conf"))))
	b.options = b.parse(t, change(readText(t, accounts)))
	b.start(t)
	t.Cleanup(b.stop)
	return b
}

func (b *guardedBus) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *guardedBus) start(t *testing.T) {
	t.Helper()
	s, err := server.NewServer(b.options)
	if err != nil {
		t.Fatal(err)
	}
	b.server = s
	s.Start()
	if !s.ReadyForConnections(lab.Patience) {
		t.Fatal("the server is not ready")
	}
	b.url = "tls://" + s.Addr().String()
}

// parse reads the configuration with these accounts: one server, on free ports.
func (b *guardedBus) parse(t *testing.T, accounts string) *server.Options {
	t.Helper()
	write(t, filepath.Join(b.dir, "accounts.conf"), []byte(accounts))
	opts, err := server.ProcessConfigFile(filepath.Join(b.dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.Cluster, opts.Routes = server.ClusterOpts{}, nil
	opts.NoSigs, opts.NoLog = true, true
	return opts
}

// take starts the server again with the shipped accounts, at the same address.
func (b *guardedBus) take(t *testing.T) {
	t.Helper()
	port := b.server.Addr().(*net.TCPAddr).Port
	b.stop()
	b.options = b.parse(t, readText(t, shippedAccounts))
	b.options.Port = port
	b.accounts, b.prefix = shippedAccounts, "ORD.API"
	b.start(t)
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// certificates makes one for the server and for each user; the watcher is one
// that tests add, the stranger is nobody.
func (b *guardedBus) certificates(t *testing.T) {
	t.Helper()
	ca := lab.CA()
	write(t, b.file("ca.crt"), ca.PEM())
	hosts := map[string]string{"nats": "127.0.0.1"}
	for _, user := range append(slices.Clone(guardedUsers), "watcher", "stranger") {
		hosts[user] = user
	}
	for name, host := range hosts {
		issued, err := ca.Issue(host)
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := localca.PEMPair(issued)
		if err != nil {
			t.Fatal(err)
		}
		write(t, b.file(name+".crt"), cert)
		write(t, b.file(name+".key"), key)
	}
}

func (b *guardedBus) file(name string) string { return filepath.Join(b.dir, "tls", name) }

// env is the environment of the program for a user of the bus.
func (b *guardedBus) env(user string) []string {
	env := []string{"ORDERBRIDGE_NATS_URL=" + b.url, "ORDERBRIDGE_NATS_CA=" + b.file("ca.crt"),
		"ORDERBRIDGE_NATS_CERT=" + b.file(user+".crt"), "ORDERBRIDGE_NATS_KEY=" + b.file(user+".key"), "ORDERBRIDGE_NATS_INBOX=_INBOX_" + user}
	if prefix := b.prefixOf(user); prefix != "" {
		env = append(env, "ORDERBRIDGE_JETSTREAM_API_PREFIX="+prefix)
	}
	return env
}

// prefixOf is what a user's JetStream subjects begin with instead of $JS.API.
func (b *guardedBus) prefixOf(user string) string {
	if user == "bridge" || user == "watcher" {
		return ""
	}
	return b.prefix
}

func (b *guardedBus) dialing(t testing.TB, user string) []nats.Option {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(b.file(user+".crt"), b.file(user+".key"))
	if err != nil {
		t.Fatal(err)
	}
	ca := lab.CA()
	return []nats.Option{nats.Secure(&tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), MinVersion: tls.VersionTLS12}),
		nats.CustomInboxPrefix("_INBOX_" + user)}
}

func (b *guardedBus) dial(t testing.TB, user string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return lab.Dial(t, b.url, append(b.dialing(t, user), opts...)...)
}

// jetStream is JetStream as a user reaches it.
func (b *guardedBus) jetStream(t testing.TB, user string) jetstream.JetStream {
	t.Helper()
	js, err := bus.JetStream(b.dial(t, user), bus.Options{APIPrefix: b.prefixOf(user)}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// run runs a command of the program as a user.
func (b *guardedBus) run(t testing.TB, user, stdin string, args ...string) (out string, good bool) {
	t.Helper()
	cmd := exec.CommandContext(within(t, 30*time.Second), "orderbridge", args...)
	cmd.Env = environment(t, b.env(user)...)
	cmd.Stdin = strings.NewReader(stdin)
	printed, err := cmd.CombinedOutput()
	return string(printed), err == nil
}
