package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// childRole begins the arguments of this program when it is started as one of
// the roles: role, then its settings in JSON.
const childRole = "bench-child"

// roles are what this program does when it starts itself: it answers with one
// line of JSON once it is ready, and works until its standard input is closed.
var roles = map[string]func(ctx context.Context, settings []byte, ready func(any) error) error{
	"nats":  role(runNATS),
	"sink":  role(runSink),
	"raw":   role(runRaw),
	"naive": role(runNaive),
	"scale": role(runScale),
}

func role[S any](run func(ctx context.Context, s S, ready func(any) error) error) func(context.Context, []byte, func(any) error) error {
	return func(ctx context.Context, settings []byte, ready func(any) error) error {
		var s S
		if err := json.Unmarshal(settings, &s); err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		return run(ctx, s, ready)
	}
}

// childMain is the main function of a role.
func childMain(name, settings string) error {
	run := roles[name]
	if run == nil {
		return fmt.Errorf("no role %q", name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return run(ctx, []byte(settings), json.NewEncoder(os.Stdout).Encode)
}

// process is a child: one of the roles, or orderbridge.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer // nil: it is stopped by SIGTERM
	log   *bytes.Buffer
	done  chan struct{}
	err   error
	once  sync.Once
}

// startRole starts a role and reads its answer.
func startRole(name string, settings, answer any) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	p := newProcess(name, self, childRole, name, string(s))
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	out, in, err := os.Pipe() // os/exec would close its own pipe when the process ends
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd.Stdout = in
	err = p.start()
	in.Close()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not become ready: %w", name, err), p.stop())
	}
	return p, nil
}

func newProcess(name, path string, args ...string) *process {
	p := &process{name: name, cmd: exec.Command(path, args...), log: &bytes.Buffer{}, done: make(chan struct{})} //nolint:gosec,noctx // our own program; stop ends it
	p.cmd.Stderr = p.log
	return p
}

func (p *process) start() error {
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

const stopTimeout = 30 * time.Second

// stop ends the process and waits for it. An error holds the end of its log.
func (p *process) stop() error {
	p.once.Do(func() {
		if p.stdin != nil {
			p.stdin.Close()
		} else {
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		}
		select {
		case <-p.done:
		case <-time.After(stopTimeout):
			_ = p.cmd.Process.Kill()
			<-p.done
		}
		if p.err != nil {
			p.err = fmt.Errorf("%s: %w\n%s", p.name, p.err, lastLines(p.log.String(), 20))
		}
	})
	return p.err
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// build makes the program that is measured.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "orderbridge")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "orderbridge/cmd/orderbridge") //nolint:gosec // constant but for our own directory
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build orderbridge: %w\n%s", err, out)
	}
	return path, nil
}
