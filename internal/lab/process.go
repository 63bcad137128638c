package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Command is a program to start.
type Command struct {
	Name    string // in errors; default: the last part of Path
	Path    string
	Args    []string
	Env     []string // all of it; nil: that of this process
	Dir     string
	Log     string               // a file that its output is added to; default: the output is kept in memory
	Stdout  *os.File             // where its standard output goes instead of the log
	Stdin   bool                 // the program ends when its standard input is closed: Stop does it
	SysProc *syscall.SysProcAttr // may be nil
}

// Process is a program that runs, or has ended. Its methods may be called by
// many goroutines.
type Process struct {
	Command

	cmd    *exec.Cmd
	stdin  io.Closer // nil: it has none
	memory *output   // nil: the log is a file
	ended  chan struct{}
}

// Start runs the command. Whoever calls it ends the process.
func Start(c Command) (*Process, error) {
	if c.Name == "" {
		c.Name = filepath.Base(c.Path)
	}
	p := &Process{Command: c, cmd: exec.Command(c.Path, c.Args...), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir, p.cmd.SysProcAttr = c.Env, c.Dir, c.SysProc
	if c.Log == "" {
		p.memory = &output{}
		p.cmd.Stdout, p.cmd.Stderr = p.memory, p.memory
	} else {
		out, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Name, err)
		}
		defer out.Close()
		p.cmd.Stdout, p.cmd.Stderr = out, out
	}
	if c.Stdout != nil {
		p.cmd.Stdout = c.Stdout
	}
	if c.Stdin {
		in, err := p.cmd.StdinPipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Name, err)
		}
		p.stdin = in
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	go func() {
		_ = p.cmd.Wait() // ExitCode tells it
		close(p.ended)
	}()
	return p, nil
}

// output collects what a program prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Pid of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Signal sends a signal to a process that may have ended.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// End sends a signal and waits; after that time it kills. It returns ExitCode.
func (p *Process) End(s syscall.Signal, within time.Duration) int {
	p.Signal(s)
	return p.wait(within)
}

func (p *Process) wait(within time.Duration) int {
	select {
	case <-p.ended:
	case <-time.After(within):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if p.stdin != nil {
		p.stdin.Close()
	}
	return p.ExitCode()
}

// Stop closes the standard input, or sends SIGTERM to a process without one, and
// waits; after that time it kills. An exit code that is not 0 is an error, which
// holds the end of the output.
func (p *Process) Stop(within time.Duration) error {
	if p.stdin != nil {
		p.stdin.Close()
	} else {
		p.Signal(syscall.SIGTERM)
	}
	if p.wait(within) != 0 {
		return fmt.Errorf("%s ended with: %s\n%s", p.Name, p.cmd.ProcessState, p.LastLines(20))
	}
	return nil
}

// ExitCode of a process that has ended, -1 if a signal ended it.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Output is all that the process has printed so far.
func (p *Process) Output() string {
	if p.memory != nil {
		return p.memory.String()
	}
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// LastLines of the output, n at most.
func (p *Process) LastLines(n int) string {
	lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Said waits until the output matches the pattern and returns its last group. It
// fails when the process ends before.
func (p *Process) Said(ctx context.Context, pattern string) (found string, err error) {
	re := regexp.MustCompile(pattern)
	gone := false
	err = Until(ctx, p.Name+" says "+pattern, func() bool {
		gone = !p.Running() // before the output is read: nothing comes after it
		if m := re.FindStringSubmatch(p.Output()); m != nil {
			found, gone = m[len(m)-1], false
			return true
		}
		return gone
	})
	if gone {
		return "", fmt.Errorf("%s ended with code %d before its output matched %s", p.Name, p.ExitCode(), pattern)
	}
	return found, err
}

// Until polls until ok says yes. An error names what was waited for.
func Until(ctx context.Context, what string, ok func() bool) error {
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %s: %w", what, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}
