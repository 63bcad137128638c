package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bridge is the built program with its embedded server.
type bridge struct {
	cmd   *exec.Cmd
	dir   string
	ended chan struct{}
	http  string
	nc    *nats.Conn
	js    jetstream.JetStream
}

var (
	natsAddress = regexp.MustCompile(`url=(nats://\S+)`)
	httpAddress = regexp.MustCompile(`http=(\S+)`)
)

func startBridge(ctx context.Context, path, dir string) (*bridge, error) {
	b := &bridge{cmd: exec.Command(path, "serve"), dir: dir, ended: make(chan struct{})} //nolint:noctx // the program that is measured; stop ends it
	out, err := os.Create(filepath.Join(dir, "bridge.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	b.cmd.Dir, b.cmd.Stdout, b.cmd.Stderr = dir, out, out
	b.cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0", "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0",
		"ORDERBRIDGE_TRUST_ROOTS=" + filepath.Join(dir, "roots.pem"), "ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8"}
	for _, name := range []string{"GOMEMLIMIT", "GOGC", "GODEBUG"} { // what one wants to compare
		if value := os.Getenv(name); value != "" {
			b.cmd.Env = append(b.cmd.Env, name+"="+value)
		}
	}
	if err := b.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start orderbridge: %w", err)
	}
	go func() {
		_ = b.cmd.Wait() // stop looks at the exit code
		close(b.ended)
	}()
	url := ""
	for begun := time.Now(); url == "" || b.http == ""; {
		text := b.logEnd()
		if m := natsAddress.FindStringSubmatch(text); m != nil {
			url = m[1]
		}
		if m := httpAddress.FindStringSubmatch(text); m != nil {
			b.http = m[1]
		}
		select {
		case <-b.ended:
			return nil, fmt.Errorf("the bridge has ended\n%s", text)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the bridge: %w", context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(begun) > time.Minute {
			return nil, fmt.Errorf("the bridge is not up after a minute\n%s", text)
		}
	}
	if b.nc, err = nats.Connect(url); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	b.js, err = jetstream.New(b.nc)
	return b, err
}

// subscribe puts a record for each endpoint.
func (b *bridge) subscribe(ctx context.Context, e *endpoints) error {
	kv, err := b.js.KeyValue(ctx, "subscriptions")
	if err != nil {
		return err
	}
	for id, url := range e.urls {
		if _, err := kv.PutString(ctx, id, fmt.Sprintf(`{"targetURL":%q,"retry":{"schedule":["PT1S","PT5S","PT30S","PT5M","PT1H"]}}`, url)); err != nil {
			return fmt.Errorf("put %s: %w", id, err)
		}
	}
	return nil
}

// orders take turns.
const orders = 5000

// publish stores one event of about 500 bytes.
func (b *bridge) publish(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body := fmt.Sprintf(`{"orderId":"o-%d","eventType":"OrderChanged","n":%d,"note":%q}`, n%orders, n, strings.Repeat("x", 430))
	if _, err := b.js.Publish(ctx, fmt.Sprintf("orders.acme.OrderChanged.o-%d", n%orders), []byte(body)); err != nil {
		return fmt.Errorf("publish: %w\n%s", err, b.logEnd())
	}
	return nil
}

func (b *bridge) logEnd() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "bridge.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4000):])
}

func (b *bridge) stop() error {
	if b.nc != nil {
		b.nc.Close()
	}
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-b.ended:
	case <-time.After(time.Minute):
		_ = b.cmd.Process.Kill()
		<-b.ended
	}
	if !b.cmd.ProcessState.Success() {
		return fmt.Errorf("the bridge ended with: %s\n%s", b.cmd.ProcessState, b.logEnd())
	}
	return nil
}

// memory is in MiB.
type memory struct {
	resident, anonymous, file             int
	runtime, inUse, live, next, limit, gs int
}

func (m memory) String() string {
	return fmt.Sprintf("%8d  %9d  %4d | %20d  %6d  %4d  %7d  %5d  %10d", m.resident, m.anonymous, m.file, m.runtime, m.inUse, m.live, m.next, m.limit, m.gs)
}

func (b *bridge) memory(ctx context.Context) (m memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.Atoi(f[1]) // what is not a number is none of the three
		switch f[0] {
		case "VmRSS:":
			m.resident = kib >> 10
		case "RssAnon:":
			m.anonymous = kib >> 10
		case "RssFile:":
			m.file = kib >> 10
		}
	}
	v, err := b.metrics(ctx)
	if err != nil {
		return m, err
	}
	mib := func(name string) int { return int(v[name]) >> 20 }
	m.runtime = mib("go_memstats_sys_bytes") - mib("go_memstats_heap_released_bytes")
	m.inUse = mib("go_memstats_heap_inuse_bytes")
	m.live, m.next, m.limit = mib("go_memstats_heap_alloc_bytes"), mib("go_memstats_next_gc_bytes"), mib("go_gc_gomemlimit_bytes")
	m.gs = int(v["go_goroutines"])
	return m, nil
}

func (b *bridge) metrics(ctx context.Context) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if x, err := strconv.ParseFloat(value, 64); err == nil {
				values[name] = x
			}
		}
	}
	return values, lines.Err()
}
