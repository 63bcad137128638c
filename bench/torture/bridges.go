package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"orderbridge/internal/cluster"
)

// bridgeProc is one replica of the built orderbridge. It has a way of its own
// to each server.
type bridgeProc struct {
	name, path, dir string
	env             []string
	ways            *cluster.Client

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

func newBridge(c *cluster.Cluster, name, path, dir, roots string) (*bridgeProc, error) {
	ways, err := c.Client()
	if err != nil {
		return nil, err
	}
	b := &bridgeProc{name: name, path: path, dir: dir, ways: ways}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "ORDERBRIDGE_") {
			b.env = append(b.env, v)
		}
	}
	b.env = append(b.env, "ORDERBRIDGE_NATS_URL="+ways.URLs(), "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0", "ORDERBRIDGE_TRUST_ROOTS="+roots,
		"ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "ORDERBRIDGE_SHUTDOWN_TIMEOUT=15s")
	return b, nil
}

// start runs the program; its log is added to its file.
func (b *bridgeProc) start() error {
	out, err := os.OpenFile(filepath.Join(b.dir, b.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", b.name, err)
	}
	defer out.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cmd = exec.Command(b.path, "serve") //nolint:gosec,noctx // the program under test; end ends it
	b.cmd.Dir, b.cmd.Env, b.cmd.Stdout, b.cmd.Stderr = b.dir, b.env, out, out
	b.cmd.SysProcAttr = dieWithUs()
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", b.name, err)
	}
	done := make(chan struct{})
	b.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // ended reads how
		close(done)
	}(b.cmd)
	return nil
}

func (b *bridgeProc) pid() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cmd.Process.Pid
}

func (b *bridgeProc) signal(s syscall.Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.cmd.Process.Signal(s) // it may have ended
}

// died tells whether the program has ended by itself.
func (b *bridgeProc) died() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}

// end sends a signal and waits for the end, which is enforced after 20 s. It
// returns the exit code, -1 if a signal ended the program.
func (b *bridgeProc) end(s syscall.Signal) int {
	b.signal(s)
	select {
	case <-b.done:
	case <-time.After(20 * time.Second):
		b.signal(syscall.SIGKILL)
		<-b.done
	}
	return b.cmd.ProcessState.ExitCode()
}

// build makes the program under test.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "orderbridge")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "orderbridge/cmd/orderbridge") //nolint:gosec // constant but for our own directory
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build orderbridge: %w\n%s", err, out)
	}
	return path, nil
}
