package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"orderbridge/internal/lab"
)

// bridgeProc is one replica of the built orderbridge. It has a way of its own
// to each server.
type bridgeProc struct {
	name, path, dir string
	env             []string
	ways            *lab.Client

	mu     sync.Mutex
	cmd    *exec.Cmd
	done   chan struct{}
	wanted bool // it is to run
}

func newBridge(c *lab.Cluster, name, path, dir, roots string) (*bridgeProc, error) {
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
	b.wanted = true
	if b.runs() {
		return nil
	}
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

func (b *bridgeProc) runs() bool {
	if b.done == nil {
		return false
	}
	select {
	case <-b.done:
		return false
	default:
		return true
	}
}

// revive starts the program again if it has ended by itself, as whatever runs
// it in production does. It tells whether it had.
func (b *bridgeProc) revive() (bool, error) {
	b.mu.Lock()
	died := b.wanted && !b.runs()
	b.mu.Unlock()
	if !died {
		return false, nil
	}
	return true, b.start()
}

// crashed returns what a program that panicked has left in its log.
func (b *bridgeProc) crashed() error {
	log, err := os.ReadFile(filepath.Join(b.dir, b.name+".log"))
	if err != nil {
		return err
	}
	for _, sign := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(sign)); i >= 0 {
			return fmt.Errorf("%s crashed: %s", b.name, log[i:min(i+2000, len(log))])
		}
	}
	return nil
}

// end sends a signal and waits for the end, which is enforced after 20 s. It
// returns the exit code, -1 if a signal ended the program.
func (b *bridgeProc) end(s syscall.Signal) int {
	b.mu.Lock()
	b.wanted = false
	done := b.done
	b.mu.Unlock()
	if done == nil {
		return 0
	}
	b.signal(s)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		b.signal(syscall.SIGKILL)
		<-done
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
