package lab

import (
	"net"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Configured is a server with a configuration in the form of its file.
type Configured struct {
	*Bus
	config string
}

// ConfigureBus runs a bus on a free port of 127.0.0.1 until the test ends. The
// configuration says neither where it listens nor where it stores; its
// JetStream is on.
func ConfigureBus(t testing.TB, config string) *Configured {
	t.Helper()
	c := &Configured{Bus: &Bus{t: t, dir: t.TempDir(), port: server.RANDOM_PORT}, config: config}
	c.run()
	t.Cleanup(c.Stop)
	return c
}

func (c *Configured) parsed() *server.Options {
	c.t.Helper()
	opts := new(server.Options)
	if err := opts.ProcessConfigString("server_name: configured\n" + c.config); err != nil {
		c.t.Fatal(err)
	}
	opts.JetStream, opts.StoreDir = true, c.dir
	opts.Host, opts.Port = "127.0.0.1", c.port
	opts.NoSigs, opts.NoLog = true, true
	return opts
}

func (c *Configured) run() {
	c.t.Helper()
	s, err := server.NewServer(c.parsed())
	if err != nil {
		c.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(Patience) {
		c.t.Fatal("server not ready")
	}
	c.port = s.Addr().(*net.TCPAddr).Port
	c.mu.Lock()
	c.s = s
	c.mu.Unlock()
}

// Change gives the running server another configuration.
func (c *Configured) Change(config string) {
	c.t.Helper()
	c.config = config
	if err := c.s.ReloadOptions(c.parsed()); err != nil {
		c.t.Fatal(err)
	}
}

// Replace puts an empty server in the place of the present one.
func (c *Configured) Replace() {
	c.t.Helper()
	c.Stop()
	c.dir = c.t.TempDir()
	c.run()
}
