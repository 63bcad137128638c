package lab

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bus is a running server with a store of its own.
type Bus struct {
	t    testing.TB
	dir  string
	port int // fixed after the first start when it listens

	users []*server.User // nil: everybody may do everything

	mu sync.Mutex
	s  *server.Server
}

// StartBus runs a server for in-process connections until the test ends.
func StartBus(t testing.TB) *Bus { return startBus(t, 0) }

// ListenBus runs a server on a free port of 127.0.0.1 until the test ends. It can be restarted.
func ListenBus(t testing.TB) *Bus { return startBus(t, server.RANDOM_PORT) }

// ListenBusFor is ListenBus for these users only; Permit changes what they may do.
func ListenBusFor(t testing.TB, users ...*server.User) *Bus {
	return startBus(t, server.RANDOM_PORT, users...)
}

func startBus(t testing.TB, port int, users ...*server.User) *Bus {
	t.Helper()
	b := &Bus{t: t, dir: t.TempDir(), port: port, users: users}
	b.start()
	t.Cleanup(b.Stop)
	return b
}

func (b *Bus) start() {
	b.t.Helper()
	s, err := server.NewServer(b.options())
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(Patience) {
		b.t.Fatal("server not ready")
	}
	if b.port != 0 {
		b.port = s.Addr().(*net.TCPAddr).Port
	}
	b.mu.Lock()
	b.s = s
	b.mu.Unlock()
}

func (b *Bus) options() *server.Options {
	opts := &server.Options{
		ServerName: "lab", JetStream: true, StoreDir: b.dir, Users: b.users,
		NoSigs: true, NoLog: true, DontListen: b.port == 0,
	}
	if b.port != 0 {
		opts.Host, opts.Port = "127.0.0.1", b.port
	}
	return opts
}

// Permit gives the users other permissions while the server runs.
func (b *Bus) Permit(users ...*server.User) {
	b.t.Helper()
	b.users = users
	if err := b.s.ReloadOptions(b.options()); err != nil {
		b.t.Fatal(err)
	}
}

// Stop ends the server. It comes again with Restart.
func (b *Bus) Stop() {
	b.mu.Lock()
	s := b.s
	b.mu.Unlock()
	s.Shutdown()
	s.WaitForShutdown()
}

// Restart stops the server and starts it on the same store and port.
func (b *Bus) Restart() {
	b.t.Helper()
	b.Stop()
	b.start()
}

// RestartAfter is Restart, with something done to the stopped server's store.
func (b *Bus) RestartAfter(change func(dir string)) {
	b.t.Helper()
	b.Stop()
	change(b.dir)
	b.start()
}

// URL of a listening bus.
func (b *Bus) URL() string { return b.s.ClientURL() }

// Addr is host:port of a listening bus.
func (b *Bus) Addr() string { return b.s.Addr().String() }

// InProcessConn makes the bus a nats.InProcessConnProvider.
func (b *Bus) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s.InProcessConn()
}

// Proxy passes connections on to a listening bus until the test ends.
func (b *Bus) Proxy() *Proxy {
	b.t.Helper()
	p, err := NewProxy(b.Addr())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Close)
	return p
}

// Conn connects in-process until the test ends.
func (b *Bus) Conn() *nats.Conn {
	b.t.Helper()
	return Dial(b.t, "", nats.InProcessServer(b))
}

// JetStream is a handle on a connection of its own.
func (b *Bus) JetStream() jetstream.JetStream {
	b.t.Helper()
	return JetStream(b.t, b.Conn())
}

// Dial connects as the program does (no buffer over a lost connection, quick
// reconnects) until the test ends.
func Dial(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append([]nats.Option{
		nats.Timeout(Patience), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}, opts...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// JetStream of a connection.
func JetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Eventually polls until ok says yes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// ClusterOf runs three servers as one in this process until the test ends, and
// returns a JetStream handle on a connection to each.
func ClusterOf(t testing.TB) (all []jetstream.JetStream) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c, err := StartCluster(ctx, ClusterOptions{Dir: t.TempDir()})
	t.Cleanup(c.Close)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Nodes() {
		all = append(all, JetStream(t, Dial(t, c.URL(i))))
	}
	return all
}
