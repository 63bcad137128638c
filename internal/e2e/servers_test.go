package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"

	"github.com/nats-io/nats.go"
)

// natsServer is a nats-server program as a process of its own.
type natsServer struct {
	t       testing.TB
	address string // host:port for clients
	args    []string
	*lab.Process
}

// runServer starts a nats-server program with a configuration on a port for
// clients, and waits until it listens. {port} and {dir} in the configuration
// are replaced.
func runServer(t testing.TB, program, address, conf string) *natsServer {
	t.Helper()
	dir := t.TempDir()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	conf = strings.NewReplacer("{port}", port, "{dir}", filepath.Join(dir, "js")).Replace(conf)
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte("listen: "+address+"\n"+conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &natsServer{t: t, address: address, args: []string{"-c", path}}
	s.start(program)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("log of %s at %s:\n%s", filepath.Base(program), address, s.LastLines(30))
		}
	})
	return s
}

func (s *natsServer) start(program string) {
	s.t.Helper()
	var err error
	if s.Process, err = lab.Start(lab.Command{Path: program, Args: s.args}); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, 20*time.Second, s.address+" listens", func() bool {
		c, err := net.DialTimeout("tcp", s.address, time.Second)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (s *natsServer) stop() { s.End(syscall.SIGTERM, lab.Patience) }

func (s *natsServer) url() string { return "nats://" + s.address }

// alone is the configuration of a single server with JetStream.
const alone = `jetstream { store_dir: "{dir}" }`

// runCluster starts a cluster, one server for each program.
func runCluster(t testing.TB, programs ...string) []*natsServer {
	t.Helper()
	turn(t)
	var routes, addresses []string
	for range programs {
		routes = append(routes, freeAddress(t))
		addresses = append(addresses, freeAddress(t))
	}
	var servers []*natsServer
	for i, program := range programs {
		servers = append(servers, runServer(t, program, addresses[i], fmt.Sprintf(`server_name: n%d
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
jetstream { store_dir: "{dir}" }
cluster { name: old, listen: %q, routes: ["nats://%s"] }`, i, routes[i], strings.Join(routes, `","nats://`))))
	}
	return servers
}

func urls(servers []*natsServer) string {
	var all []string
	for _, s := range servers {
		all = append(all, s.url())
	}
	return strings.Join(all, ",")
}

// conn connects to the first of the servers.
func (s *natsServer) conn() *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.url(), nats.MaxReconnects(-1))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}
