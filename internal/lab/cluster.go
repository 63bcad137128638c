package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ClusterOptions say what StartCluster starts.
type ClusterOptions struct {
	// Nodes is the number of servers. Default 3; 1 is a server without cluster.
	Nodes int
	// Dir holds their stores and logs.
	Dir string
	// Command runs Node in a process of its own; the settings are added as its
	// last argument. Without it the servers run in this process: they can be
	// stopped, but neither killed nor paused, and write no log.
	Command []string
}

// Cluster is what StartCluster made: servers that work as one. Every way between
// two of them leads through a proxy. Its methods may be called by one goroutine
// at a time, those of a Client beside them.
type Cluster struct {
	o      ClusterOptions
	nodes  []*clusterNode
	routes map[[2]int]*Proxy // from, to

	mu      sync.Mutex
	clients []*Client
}

// clusterNode is one server: a process, or one in this process.
type clusterNode struct {
	settings
	process *Process
	server  *server.Server
}

// StartCluster runs the servers and waits until they work as one. Close must be
// called also after an error.
func StartCluster(ctx context.Context, o ClusterOptions) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{o: o, routes: map[[2]int]*Proxy{}}
	ports, err := freePorts(2 * o.Nodes)
	if err != nil {
		return c, fmt.Errorf("find free ports: %w", err)
	}
	for i := range o.Nodes {
		name := "node" + strconv.Itoa(i)
		s := settings{Name: name, Port: ports[i], Cluster: ports[o.Nodes+i], Dir: filepath.Join(o.Dir, name)}
		p := &clusterNode{settings: s}
		if len(o.Command) > 0 {
			p.Log = filepath.Join(o.Dir, name+".log")
		}
		for j := range o.Nodes {
			if j == i {
				continue
			}
			l, err := NewProxy(hostPort(ports[o.Nodes+j]))
			if err != nil {
				return c, fmt.Errorf("make a proxy: %w", err)
			}
			c.routes[[2]int{i, j}] = l
			p.Routes = append(p.Routes, l.Addr())
		}
		c.nodes = append(c.nodes, p)
		if err := c.Run(i); err != nil {
			return c, err
		}
	}
	return c, c.Ready(ctx)
}

// freePorts finds ports that are free now. Nothing keeps them so, but they are
// not among those that the kernel gives to whoever asks for any.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range 100 * n {
		port := 10_000 + rand.IntN(20_000)
		ln, err := net.Listen("tcp", hostPort(port))
		if err != nil {
			continue
		}
		defer ln.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, errors.New("there are none")
}

// FreeAddress is host:port of a port that is free now.
func FreeAddress() (string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", err
	}
	return hostPort(ports[0]), nil
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Nodes is the number of servers.
func (c *Cluster) Nodes() int { return len(c.nodes) }

// URL of a server, for a client that no link stands before.
func (c *Cluster) URL(i int) string { return "nats://" + hostPort(c.nodes[i].Port) }

// URLs of all servers, separated by commas.
func (c *Cluster) URLs() string {
	var urls []string
	for i := range c.nodes {
		urls = append(urls, c.URL(i))
	}
	return strings.Join(urls, ",")
}

// Run starts a server that does not run; its store is as it left it. It
// returns at once, see Ready.
func (c *Cluster) Run(i int) (err error) {
	p := c.nodes[i]
	if len(c.o.Command) == 0 {
		if p.server == nil {
			p.server, err = p.start()
		}
		return err
	}
	if p.process != nil && p.process.Running() {
		return nil
	}
	arg, err := json.Marshal(p.settings)
	if err != nil {
		return err
	}
	argv := append(slices.Clone(c.o.Command), string(arg))
	p.process, err = Start(Command{Name: p.Name, Path: argv[0], Args: argv[1:], Env: os.Environ(), Stdin: true})
	return err
}

// Kill is kill -9. It returns when the process is gone.
func (c *Cluster) Kill(i int) { c.end(i, syscall.SIGKILL) }

// Stop is a graceful stop. It returns when the process is gone.
func (c *Cluster) Stop(i int) { c.end(i, syscall.SIGTERM) }

func (c *Cluster) end(i int, s syscall.Signal) {
	switch p := c.nodes[i]; {
	case p.process != nil:
		p.process.End(s, Patience)
	case p.server != nil:
		p.server.Shutdown()
		p.server.WaitForShutdown()
		p.server = nil
	}
}

// Pause is SIGSTOP, Continue SIGCONT.
func (c *Cluster) Pause(i int) { c.nodes[i].process.Signal(syscall.SIGSTOP) }

// Continue lets a paused server go on.
func (c *Cluster) Continue(i int) { c.nodes[i].process.Signal(syscall.SIGCONT) }

// Isolate cuts a server off from the others, without telling anybody, or
// mends it. Clients reach it as before.
func (c *Cluster) Isolate(i int, on bool) {
	for pair, l := range c.routes {
		if pair[0] == i || pair[1] == i {
			l.Silence(on)
		}
	}
}

// Ready waits until the servers that run agree and all of them store what is
// written: streams of each replica count can be made.
func (c *Cluster) Ready(ctx context.Context) error {
	var err error
	// Without a leader there is no answer.
	for patience := 250 * time.Millisecond; ; patience = min(2*patience, 20*time.Second) {
		if err = c.probe(ctx, patience); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not become ready: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) probe(ctx context.Context, patience time.Duration) error {
	for i := range c.nodes {
		nc, err := nats.Connect(c.URL(i), nats.Timeout(10*time.Second), nats.NoReconnect())
		if err != nil {
			return err
		}
		err = probeNode(ctx, nc, len(c.nodes), patience)
		nc.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func probeNode(ctx context.Context, nc *nats.Conn, replicas int, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	name := "PROBE_" + nats.NewInbox()[7:]
	config := jetstream.StreamConfig{Name: name, Subjects: []string{name}, Replicas: replicas,
		Storage: jetstream.MemoryStorage}
	if _, err := js.CreateStream(ctx, config); err != nil {
		return err
	}
	return js.DeleteStream(ctx, name)
}

// Close ends all servers and closes all proxies.
func (c *Cluster) Close() {
	for i, p := range c.nodes {
		if p.process != nil {
			c.Continue(i)
		}
		c.Kill(i)
	}
	for _, l := range c.routes {
		l.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.clients {
		for _, l := range k.ways {
			l.Close()
		}
	}
}

// Client is one client's ways to the servers, each through a proxy.
type Client struct{ ways []*Proxy }

// Client makes ways to the servers for one more client.
func (c *Cluster) Client() (*Client, error) {
	k := &Client{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = append(c.clients, k)
	for _, p := range c.nodes {
		l, err := NewProxy(hostPort(p.Port))
		if err != nil {
			return nil, fmt.Errorf("make a proxy: %w", err)
		}
		k.ways = append(k.ways, l)
	}
	return k, nil
}

// URLs of all servers by this client's ways, separated by commas.
func (k *Client) URLs() string {
	var urls []string
	for _, l := range k.ways {
		urls = append(urls, l.URL())
	}
	return strings.Join(urls, ",")
}

// Silence makes the way to a server silent, or mends it.
func (k *Client) Silence(i int, on bool) { k.ways[i].Silence(on) }

// Refuse closes the client's connections to a server and refuses new ones, or
// mends it.
func (k *Client) Refuse(i int, on bool) { k.ways[i].Refuse(on) }
