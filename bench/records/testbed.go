package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// testbed is a server, replicas and one endpoint.
type testbed struct {
	settings
	dir      string
	bus      *lab.Cluster
	nc       *nats.Conn
	js       jetstream.JetStream
	endpoint *lab.Receiver
	env      []string
	replicas []*replica
}

// replica is one process of the bridge.
type replica struct{ *lab.Program }

func newTestbed(ctx context.Context, s settings, dir string) (*testbed, error) {
	w := &testbed{settings: s, dir: dir}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return w, err
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	if w.bus, err = lab.StartCluster(ctx,
		lab.ClusterOptions{Nodes: s.nodes, Dir: dir, Command: []string{self, nodeRole}}); err != nil {
		return w, err
	}
	if w.nc, err = nats.Connect(w.bus.URLs()); err != nil {
		return w, fmt.Errorf("connect: %w", err)
	}
	if w.js, err = jetstream.New(w.nc, jetstream.WithPublishAsyncMaxPending(2048)); err != nil {
		return w, err
	}
	if w.endpoint, err = lab.Receive(nil, lab.Always(200)); err != nil {
		return w, err
	}
	w.env, err = lab.Environment(filepath.Join(dir, "roots.pem"), "ORDERBRIDGE_NATS_URL="+w.bus.URLs())
	return w, err
}

// launch starts one more replica.
func (w *testbed) launch(ctx context.Context) (*replica, error) {
	name := fmt.Sprintf("bridge-%d", len(w.replicas))
	p, err := lab.Serve(lab.Command{Name: name, Path: w.bridge, Env: w.env,
		Dir: w.dir, Log: filepath.Join(w.dir, name+".log")})
	if err != nil {
		return nil, err
	}
	r := &replica{p}
	w.replicas = append(w.replicas, r)
	_, err = r.HTTP(ctx)
	return r, err
}

func (w *testbed) close() (err error) {
	for _, r := range w.replicas {
		if r.Running() {
			err = errors.Join(err, r.Stop(time.Minute))
		}
	}
	if w.endpoint != nil {
		_ = w.endpoint.Close()
	}
	if w.nc != nil {
		w.nc.Close()
	}
	if w.bus != nil {
		w.bus.Close()
	}
	return err
}

var lineOf = map[string]*regexp.Regexp{}

// told is when the replica's log says something for the first time; zero: it has not.
func (r *replica) told(what string) time.Time {
	re := lineOf[what]
	if re == nil {
		re = regexp.MustCompile(`(?m)^time=(\S+) level=\S+ msg="?` + regexp.QuoteMeta(what))
		lineOf[what] = re
	}
	m := re.FindStringSubmatch(r.Output())
	if m == nil {
		return time.Time{}
	}
	t, _ := time.Parse(time.RFC3339Nano, m[1])
	return t
}

// resident is the resident size in MB, and the highest that it ever was.
func (r *replica) resident() (now, most int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.Pid()))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			now = n >> 10
		case "VmHWM:":
			most = n >> 10
		}
	}
	return now, most
}

// used is the processor time that the process has used.
func (r *replica) used() time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.Pid()))
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
