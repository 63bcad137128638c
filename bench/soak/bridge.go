package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"orderbridge/internal/lab"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// bridge is the built program with its embedded server.
type bridge struct {
	*lab.Program
	nc *nats.Conn
	js jetstream.JetStream
}

func startBridge(ctx context.Context, path, dir string) (*bridge, error) {
	env, err := lab.Environment(filepath.Join(dir, "roots.pem"), "HOME="+dir, "ORDERBRIDGE_NATS_LISTEN=127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &bridge{}
	if b.Program, err = lab.Serve(lab.Command{Path: path, Env: env, Dir: dir,
		Log: filepath.Join(dir, "bridge.log")}); err != nil {
		return nil, err
	}
	if err := b.connect(ctx); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	return b, nil
}

// connect waits until the program is up.
func (b *bridge) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	url, err := b.Said(ctx, `url=(nats://\S+)`)
	if err == nil {
		err = b.Leads(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, b.LastLines(20))
	}
	if b.nc, err = nats.Connect(url); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	b.js, err = jetstream.New(b.nc)
	return err
}

// subscribe puts a record for each endpoint.
func (b *bridge) subscribe(ctx context.Context, e *endpoints) error {
	kv, err := b.js.KeyValue(ctx, "subscriptions")
	if err != nil {
		return err
	}
	for id, url := range e.urls {
		if _, err := kv.PutString(ctx, id,
			fmt.Sprintf(`{"targetURL":%q,"retry":{"schedule":["PT1S","PT5S","PT30S","PT5M","PT1H"]}}`, url)); err != nil {
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
	body := fmt.Sprintf(`{"orderId":"o-%d","eventType":"OrderChanged","n":%d,"note":%q}`, n%orders, n,
		strings.Repeat("x", 430))
	if _, err := b.js.Publish(ctx, fmt.Sprintf("orders.acme.OrderChanged.o-%d", n%orders), []byte(body)); err != nil {
		return fmt.Errorf("publish: %w\n%s", err, b.LastLines(20))
	}
	return nil
}

func (b *bridge) stop() error {
	if b.nc != nil {
		b.nc.Close()
	}
	return b.Stop(time.Minute)
}

// memory is in MiB.
type memory struct {
	resident, anonymous, file             int
	runtime, inUse, live, next, limit, gs int
}

func (m memory) String() string {
	return fmt.Sprintf("%8d  %9d  %4d | %20d  %6d  %4d  %7d  %5d  %10d", m.resident, m.anonymous, m.file, m.runtime,
		m.inUse, m.live, m.next, m.limit, m.gs)
}

func (b *bridge) memory(ctx context.Context) (m memory, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.Pid()))
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
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	v, err := b.Metrics(ctx)
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
