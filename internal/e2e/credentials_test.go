package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// doorBus is a server whose doors change while it runs.
type doorBus struct {
	t    *testing.T
	dir  string
	port int
	set  func(*server.Options)
	s    *server.Server
}

func guard(t *testing.T, set func(*server.Options)) *doorBus {
	t.Helper()
	g := &doorBus{t: t, dir: t.TempDir(), port: server.RANDOM_PORT, set: set}
	g.start()
	t.Cleanup(func() { g.stop() })
	return g
}

func (g *doorBus) options() *server.Options {
	o := &server.Options{ServerName: "guarded", Host: "127.0.0.1", Port: g.port, JetStream: true, StoreDir: g.dir, NoSigs: true, NoLog: true}
	g.set(o)
	return o
}

func (g *doorBus) start() {
	g.t.Helper()
	s, err := server.NewServer(g.options())
	if err != nil {
		g.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(lab.Patience) {
		g.t.Fatal("server not ready")
	}
	g.port = s.Addr().(*net.TCPAddr).Port
	g.s = s
}

func (g *doorBus) stop() {
	g.s.Shutdown()
	g.s.WaitForShutdown()
}

// change gives the running server other options.
func (g *doorBus) change(set func(*server.Options)) {
	g.t.Helper()
	g.set = set
	if err := g.s.ReloadOptions(g.options()); err != nil {
		g.t.Fatal(err)
	}
}

// restart is for what cannot be changed while it runs.
func (g *doorBus) restart(set func(*server.Options)) {
	g.t.Helper()
	g.stop()
	g.set = set
	g.start()
}

func (g *doorBus) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", g.port) }

// connections counts those that were ever opened.
func (g *doorBus) connections() uint64 {
	v, err := g.s.Varz(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return v.TotalConnections
}

func userPassword(password string) func(*server.Options) {
	return func(o *server.Options) { o.Username, o.Password = "bridge", password }
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// command runs another command with the environment of the program.
func (p *program) command(args ...string) (string, int) {
	p.t.Helper()
	cmd := exec.CommandContext(within(p.t, 30*time.Second), "orderbridge", args...)
	cmd.Env = p.Env
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// unready waits until /readyz names the cause, checks that a command fails at
// once with the same words, and that no secret is shown.
func (p *program) unready(cause string) {
	p.t.Helper()
	p.complains(cause)
	out := ""
	await(p.t, 20*time.Second, "a command says "+cause, func() bool { // a server that closes at once may not be heard
		begun := time.Now()
		answer, code := p.command("subscriptions", "list")
		if code != exitFailed {
			p.t.Fatalf("a command: exit code %d, %s", code, answer)
		}
		lab.Promise(p.t, "until a command fails", time.Since(begun), 8*time.Second)
		out += answer
		return strings.Contains(answer, cause)
	})
	for _, secret := range []string{"hunter2", "hunter3"} {
		if strings.Contains(out+p.Output(), secret) {
			p.t.Errorf("%s is shown", secret)
		}
	}
	select {
	case <-p.Ended():
		p.t.Fatal("the process has ended")
	default:
	}
}

// Whatever keeps the bridge from its bus, at the start or later, it keeps on
// trying, says what it is and which setting to look at, and goes on by itself.
func TestRefusedCredentialsMendThemselves(t *testing.T) {
	t.Parallel()
	t.Run("password", refusedPassword)
	t.Run("user in the URL", refusedUserOfTheURL)
	t.Run("none", noCredentials)
	t.Run("full", serverThatIsFull)
	t.Run("permission", lackingPermission)
	t.Run("name", hostThatIsNotFound)
}

// refusedPassword: wrong at first, right, and revoked while it runs.
func refusedPassword(t *testing.T) {
	t.Parallel()
	const cause = `NATS refuses the credentials (Authorization Violation): check ORDERBRIDGE_NATS_USER ("bridge") and ORDERBRIDGE_NATS_PASSWORD`
	g := guard(t, userPassword("hunter3"))
	p := launch(t, "ORDERBRIDGE_NATS_URL="+g.url(), "ORDERBRIDGE_NATS_USER=bridge", "ORDERBRIDGE_NATS_PASSWORD=hunter2")
	p.unready(cause)
	g.change(userPassword("hunter2"))
	p.leads()
	js := jetStream(t, strings.Replace(g.url(), "//", "//bridge:hunter2@", 1))
	e := receive(t, nil)
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	g.change(userPassword("hunter3")) // revoked while it runs
	p.unready(cause)
	tries := g.connections()
	await(t, 20*time.Second, "it tries again and again", func() bool { return g.connections() >= tries+4 }) // nats.go gives up at the second refusal
	p.unready(cause)
	g.change(userPassword("hunter2"))
	p.leads()
	publishOne(t, jetStream(t, strings.Replace(g.url(), "//", "//bridge:hunter2@", 1)), "a", 2)
	e.came(t, 2)
	p.stop()
}

func refusedUserOfTheURL(t *testing.T) {
	t.Parallel()
	g := guard(t, userPassword("hunter3"))
	p := launch(t, "ORDERBRIDGE_NATS_URL="+strings.Replace(g.url(), "//", "//bridge:hunter2@", 1))
	p.unready("check the user in ORDERBRIDGE_NATS_URL")
}

func noCredentials(t *testing.T) {
	t.Parallel()
	g := guard(t, userPassword("hunter3"))
	p := launch(t, "ORDERBRIDGE_NATS_URL="+g.url())
	p.unready("none are set; set ORDERBRIDGE_NATS_CREDS")
}

func serverThatIsFull(t *testing.T) {
	t.Parallel()
	g := guard(t, func(o *server.Options) { o.MaxConn = 2 })
	var held []*nats.Conn
	for range 2 {
		nc, err := nats.Connect(g.url())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		held = append(held, nc)
	}
	p := launch(t, "ORDERBRIDGE_NATS_URL="+g.url())
	p.unready("max_connections") // a server may close before its reason is heard
	held[0].Close()
	p.leads()
}

func lackingPermission(t *testing.T) {
	t.Parallel()
	allow := func(deny ...string) func(*server.Options) {
		return func(o *server.Options) {
			o.Users = []*server.User{{Username: "bridge", Password: "hunter2", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Allow: []string{">"}, Deny: deny}}}}
		}
	}
	g := guard(t, allow("$JS.API.>"))
	p := launch(t, "ORDERBRIDGE_NATS_URL="+g.url(), "ORDERBRIDGE_NATS_USER=bridge", "ORDERBRIDGE_NATS_PASSWORD=hunter2")
	p.complains(`Permissions Violation for Publish to "$JS.API.INFO"`)
	g.change(allow())
	p.leads()
}

func hostThatIsNotFound(t *testing.T) {
	t.Parallel()
	p := launch(t, "ORDERBRIDGE_NATS_URL=nats://nats.invalid:4222")
	p.unready(`the host "nats.invalid" of ORDERBRIDGE_NATS_URL is not found`)
	p.stop()
}

// keyPair makes keys and returns the public one too.
func keyPair(t *testing.T, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return kp, pub
}

func encodeClaims(t *testing.T, c jwt.Claims, by nkeys.KeyPair) string {
	t.Helper()
	text, err := c.Encode(by)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// guardByOperator starts a server whose users have files of an account, and
// returns what makes such a file.
func guardByOperator(t *testing.T) (g *doorBus, issue func(path string, until time.Time)) {
	t.Helper()
	operator, operatorPub := keyPair(t, nkeys.CreateOperator)
	account, accountPub := keyPair(t, nkeys.CreateAccount)
	_, systemPub := keyPair(t, nkeys.CreateAccount)
	claims := jwt.NewAccountClaims(accountPub)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: -1, MemoryStorage: -1, Streams: -1, Consumer: -1}
	operatorClaims, err := jwt.DecodeOperatorClaims(encodeClaims(t, jwt.NewOperatorClaims(operatorPub), operator))
	if err != nil {
		t.Fatal(err)
	}
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(accountPub, encodeClaims(t, claims, operator)); err != nil {
		t.Fatal(err)
	}
	if err := resolver.Store(systemPub, encodeClaims(t, jwt.NewAccountClaims(systemPub), operator)); err != nil {
		t.Fatal(err)
	}
	g = guard(t, func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{operatorClaims}
		o.AccountResolver = resolver
		o.SystemAccount = systemPub
	})
	return g, func(path string, until time.Time) {
		user, userPub := keyPair(t, nkeys.CreateUser)
		c := jwt.NewUserClaims(userPub)
		c.Expires = until.Unix()
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		file, err := jwt.FormatUserConfig(encodeClaims(t, c, account), seed)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, file)
	}
}

// A user whose JWT has expired gets a new one in the same file.
func TestCredentialsFileIsReadAnew(t *testing.T) {
	t.Parallel()
	g, issueTo := guardByOperator(t)
	creds := filepath.Join(t.TempDir(), "bridge.creds")
	issue := func(until time.Time) { issueTo(creds, until) }
	expired := time.Now().Add(-time.Hour).UTC()
	issue(expired)
	p := launch(t, "ORDERBRIDGE_NATS_URL="+g.url(), "ORDERBRIDGE_NATS_CREDS="+creds)
	p.unready("check ORDERBRIDGE_NATS_CREDS (" + creds + ", expired on " + expired.Format(time.RFC3339) + ")")
	for life, led := 15*time.Second, false; !led; life *= 4 { // a slow machine takes longer until it leads
		until := time.Now().Add(life)
		issue(until)
		await(t, 0, "it leads, or the new one has expired too", func() bool {
			r, status := p.readyz()
			led = status == http.StatusOK && r.Role == lab.Leader
			return led || time.Now().After(until)
		})
	}
	p.unready("expired on ") // while it runs
	issue(time.Now().Add(time.Hour))
	p.leads()
	// Something else in the file, for a moment, is no reason to end.
	write(t, creds, []byte("nothing"))
	g.restart(g.set)
	p.complains("the bus is not connected")
	issue(time.Now().Add(time.Hour))
	p.leads()
	p.stop()
}

// Certificates are read again for each connection.
func TestCertificatesOfTheBusAreReadAnew(t *testing.T) {
	t.Parallel()
	newCA := func() *localca.CA {
		ca, err := lab.NewCA()
		if err != nil {
			t.Fatal(err)
		}
		return ca
	}
	right, wrong := newCA(), newCA()
	cert, err := right.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: right.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	})
	dir := t.TempDir()
	ca, crt, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put := func(issue func(...string) (tls.Certificate, error)) {
		c, err := issue("bridge")
		if err != nil {
			t.Fatal(err)
		}
		certPEM, keyPEM, err := localca.PEMPair(c)
		if err != nil {
			t.Fatal(err)
		}
		write(t, key, keyPEM)
		write(t, crt, certPEM)
	}
	write(t, ca, wrong.PEM())
	put(wrong.Issue)
	url := strings.Replace(g.url(), "nats://", "tls://", 1)
	p := launch(t, "ORDERBRIDGE_NATS_URL="+url, "ORDERBRIDGE_NATS_CA="+ca, "ORDERBRIDGE_NATS_CERT="+crt, "ORDERBRIDGE_NATS_KEY="+key)
	p.unready("is not signed by the authority in ORDERBRIDGE_NATS_CA (" + ca + ")")
	write(t, ca, right.PEM())
	p.unready("the NATS server refuses the client certificate")
	put(lab.Expired(right))
	p.unready("check ORDERBRIDGE_NATS_CERT (" + crt + ", expired on ")
	put(right.Issue)
	p.leads()
	p.stop()

	// Without one, and without trust.
	q := launch(t, "ORDERBRIDGE_NATS_URL="+url)
	q.unready("set ORDERBRIDGE_NATS_CA to the certificate of its authority")
	r := launch(t, "ORDERBRIDGE_NATS_URL="+url, "ORDERBRIDGE_NATS_CA="+ca)
	r.unready("set ORDERBRIDGE_NATS_CERT and ORDERBRIDGE_NATS_KEY")
	if _, status := r.readyz(); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d", status)
	}
}
