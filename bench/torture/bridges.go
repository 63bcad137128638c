package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"orderbridge/bench/torture/journal"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// bridgeProc is one replica of the built orderbridge. It has a way of its own
// to each server.
type bridgeProc struct {
	command lab.Command
	ways    *lab.Client

	mu      sync.Mutex
	program *lab.Program // nil before the first start
	wanted  bool         // it is to run
}

func newBridge(c *lab.Cluster, name, path, dir string) (*bridgeProc, error) {
	ways, err := c.Client()
	if err != nil {
		return nil, err
	}
	env, err := lab.Environment(filepath.Join(dir, "roots.pem"), "ORDERBRIDGE_NATS_URL="+ways.URLs(),
		"ORDERBRIDGE_SHUTDOWN_TIMEOUT=60s", "ORDERBRIDGE_SHARDS="+strconv.Itoa(startShards))
	if err != nil {
		return nil, err
	}
	return &bridgeProc{ways: ways,
		command: lab.Command{Name: name, Path: path, Env: env, Dir: dir, Log: filepath.Join(dir, name+".log"),
			SysProc: dieWithUs()}}, nil
}

// start runs the program; its log is added to its file.
func (b *bridgeProc) start() (err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = true
	if b.runs() {
		return nil
	}
	b.program, err = lab.Serve(b.command)
	return err
}

func (b *bridgeProc) name() string { return b.command.Name }

func (b *bridgeProc) pid() int { return b.process().Pid() }

func (b *bridgeProc) signal(s syscall.Signal) { b.process().Signal(s) }

func (b *bridgeProc) process() *lab.Program {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.program
}

func (b *bridgeProc) runs() bool { return b.program != nil && b.program.Running() }

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
	log, err := os.ReadFile(b.command.Log)
	if err != nil {
		return err
	}
	for _, sign := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(sign)); i >= 0 {
			return fmt.Errorf("%s crashed: %s", b.name(), log[i:min(i+2000, len(log))])
		}
	}
	return nil
}

// overdue is what the log says when a lease could not be renewed in time.
var overdue = regexp.MustCompile(`(?m)^time=(\S+) .*msg="leadership lost.*` + protocol.ErrLeaseOver.Error())

// losses are leases that the program lost because it could not renew them: by a
// fault, or because the machine was busy. What was under way may be repeated.
func (b *bridgeProc) losses() (all []journal.Fault, err error) {
	log, err := os.ReadFile(b.command.Log)
	for _, m := range overdue.FindAllSubmatch(log, -1) {
		if at, err := time.Parse(time.RFC3339Nano, string(m[1])); err == nil {
			all = append(all, journal.Fault{Kind: "lease not renewed", Target: b.name(), From: at, Until: at, Excuse: true})
		}
	}
	return all, err
}

// end sends a signal and waits for the end, which is enforced some time later. It
// returns the exit code, -1 if a signal ended the program.
func (b *bridgeProc) end(s syscall.Signal) int {
	b.mu.Lock()
	b.wanted = false
	program := b.program
	b.mu.Unlock()
	if program == nil {
		return 0
	}
	return program.End(s, lab.Patience)
}
