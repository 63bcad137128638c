package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Options of a cluster.
type Options struct {
	// Nodes is the number of servers. Default 3; 1 is a server without cluster.
	Nodes int
	// Dir holds their stores and logs.
	Dir string
	// Command runs Node in a process of its own; the settings are added as its
	// last argument.
	Command []string
}

// Cluster is what Start made. Its methods may be called by one goroutine at a
// time, those of a Client beside them.
type Cluster struct {
	o      Options
	nodes  []*proc
	routes map[[2]int]*link // from, to

	mu      sync.Mutex
	clients []*Client
}

// proc is one server.
type proc struct {
	settings
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
}

// Start runs the servers and waits until they work as one. Close must be called
// also after an error.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &Cluster{o: o, routes: map[[2]int]*link{}}
	ports, err := freePorts(2 * o.Nodes)
	if err != nil {
		return c, fmt.Errorf("find free ports: %w", err)
	}
	for i := range o.Nodes {
		name := "node" + strconv.Itoa(i)
		p := &proc{settings: settings{Name: name, Port: ports[i], Cluster: ports[o.Nodes+i],
			Dir: filepath.Join(o.Dir, name), Log: filepath.Join(o.Dir, name+".log")}}
		for j := range o.Nodes {
			if j == i {
				continue
			}
			l, err := newLink(hostPort(ports[o.Nodes+j]))
			if err != nil {
				return c, fmt.Errorf("make a link: %w", err)
			}
			c.routes[[2]int{i, j}] = l
			p.Routes = append(p.Routes, l.addr())
		}
		c.nodes = append(c.nodes, p)
		if err := c.Run(i); err != nil {
			return c, err
		}
	}
	return c, c.Ready(ctx)
}

// freePorts finds ports that are free now; nothing keeps them so.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it only binds
		if err != nil {
			return nil, err
		}
		defer ln.Close()
		ports = append(ports, ln.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
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
func (c *Cluster) Run(i int) error {
	p := c.nodes[i]
	if p.done != nil {
		select {
		case <-p.done:
		default:
			return nil
		}
	}
	arg, err := json.Marshal(p.settings)
	if err != nil {
		return err
	}
	argv := append(append([]string(nil), c.o.Command...), string(arg))
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // our own program; Close ends it
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	done := make(chan struct{})
	p.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // a killed server is not a failure
		close(done)
	}(p.cmd)
	return nil
}

// Kill is kill -9. It returns when the process is gone.
func (c *Cluster) Kill(i int) { c.end(i, syscall.SIGKILL) }

// Stop is a graceful stop. It returns when the process is gone.
func (c *Cluster) Stop(i int) { c.end(i, syscall.SIGTERM) }

func (c *Cluster) end(i int, s syscall.Signal) {
	p := c.nodes[i]
	if p.cmd == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(s) // it may have ended
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	p.stdin.Close()
}

// Pause is SIGSTOP, Continue SIGCONT.
func (c *Cluster) Pause(i int) { _ = c.nodes[i].cmd.Process.Signal(syscall.SIGSTOP) }

// Continue lets a paused server go on.
func (c *Cluster) Continue(i int) { _ = c.nodes[i].cmd.Process.Signal(syscall.SIGCONT) }

// Isolate cuts a server off from the others, without telling anybody, or
// mends it. Clients reach it as before.
func (c *Cluster) Isolate(i int, on bool) {
	for pair, l := range c.routes {
		if pair[0] == i || pair[1] == i {
			l.set(state(on))
		}
	}
}

func state(broken bool) wire {
	if broken {
		return silent
	}
	return passing
}

// Ready waits until the servers that run agree and all of them store what is
// written: streams of each replica count can be made.
func (c *Cluster) Ready(ctx context.Context) error {
	var err error
	for {
		if err = c.probe(ctx); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster does not become ready: %w", errors.Join(context.Cause(ctx), err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Cluster) probe(ctx context.Context) error {
	for i := range c.nodes {
		nc, err := nats.Connect(c.URL(i), nats.Timeout(time.Second), nats.NoReconnect())
		if err != nil {
			return err
		}
		err = probeNode(ctx, nc, len(c.nodes))
		nc.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func probeNode(ctx context.Context, nc *nats.Conn, replicas int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	name := "PROBE_" + nats.NewInbox()[7:]
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}, Replicas: replicas, Storage: jetstream.MemoryStorage}); err != nil {
		return err
	}
	return js.DeleteStream(ctx, name)
}

// Close ends all servers and closes all links.
func (c *Cluster) Close() {
	for i, p := range c.nodes {
		if p.cmd == nil || p.cmd.Process == nil {
			continue
		}
		c.Continue(i)
		c.Kill(i)
	}
	for _, l := range c.routes {
		l.close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.clients {
		for _, l := range k.links {
			l.close()
		}
	}
}

// Client is one client's ways to the servers.
type Client struct{ links []*link }

// Client makes ways to the servers for one more client.
func (c *Cluster) Client() (*Client, error) {
	k := &Client{}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = append(c.clients, k)
	for _, p := range c.nodes {
		l, err := newLink(hostPort(p.Port))
		if err != nil {
			return nil, fmt.Errorf("make a link: %w", err)
		}
		k.links = append(k.links, l)
	}
	return k, nil
}

// URLs of all servers by this client's ways, separated by commas.
func (k *Client) URLs() string {
	var urls []string
	for _, l := range k.links {
		urls = append(urls, "nats://"+l.addr())
	}
	return strings.Join(urls, ",")
}

// Silence makes the way to a server silent, or mends it.
func (k *Client) Silence(i int, on bool) { k.links[i].set(state(on)) }

// Cut closes the client's connections to a server and refuses new ones, or
// mends it.
func (k *Client) Cut(i int, on bool) {
	if on {
		k.links[i].set(cut)
	} else {
		k.links[i].set(passing)
	}
}
