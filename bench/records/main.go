package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"orderbridge/internal/lab"
)

const (
	nodeRole = "records-node"
	longest  = 15 * time.Minute // that all may take
)

// settings are the flags.
type settings struct {
	bridge  string
	records int
	nodes   int
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == nodeRole {
		lab.Node()
		return
	}
	var s settings
	flag.StringVar(&s.bridge, "bridge", "", "a built orderbridge (default: build it)")
	flag.IntVar(&s.records, "records", 100_000, "how many records")
	flag.IntVar(&s.nodes, "nodes", 1, "servers of the bus")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("it may take %s", longest))
	err := run(ctx, s)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "records:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "records-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.bridge, err = lab.Executable(ctx, s.bridge, dir); err != nil {
		return err
	}
	load, _ := os.ReadFile("/proc/loadavg") // for people, where there is one
	fmt.Printf("%d records (load %s)\n", s.records, strings.TrimSpace(string(load)))
	w, err := newTestbed(ctx, s, filepath.Join(dir, "bus"))
	if err == nil {
		err = w.measure(ctx)
	}
	return errors.Join(err, w.close())
}

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
