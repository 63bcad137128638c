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
	nodeRole = "trouble-node"
	longest  = 20 * time.Minute // that all may take
)

// settings are the flags.
type settings struct {
	only   string
	bridge string
	part   float64
}

// scaled is n, or the part of it that the flags ask for.
func (s settings) scaled(n int) int { return max(1, int(float64(n)*s.part)) }

func main() {
	if len(os.Args) == 3 && os.Args[1] == nodeRole {
		lab.Node()
		return
	}
	s := settings{}
	flag.StringVar(&s.only, "only", "abcdefghi", "what to measure")
	flag.StringVar(&s.bridge, "bridge", "", "a built orderbridge (default: build it)")
	flag.Float64Var(&s.part, "part", 1, "of the numbers of events and records, for a quick look")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("it may take %s", longest))
	err := run(ctx, s)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "trouble:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	dir, err := os.MkdirTemp("", "trouble-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.bridge, err = lab.Executable(ctx, s.bridge, dir); err != nil {
		return err
	}
	var failed error
	for _, part := range []struct {
		letter  string
		measure func(context.Context, *testbed) error
	}{{"a", isolation}, {"b", healing}, {"c", outage}, {"d", many}, {"e", records},
		{"f", poisoned(60, func(o int) bool { return o%2 == 0 })},
		{"g", poisoned(60, func(o int) bool { return o%20 == 0 })}, {"h", random}, {"i", stopping}} {
		if !strings.Contains(s.only, part.letter) {
			continue
		}
		load, _ := os.ReadFile("/proc/loadavg") // for people, where there is one
		fmt.Printf("\n%s  (load %s)\n", part.letter, strings.TrimSpace(string(load)))
		if err := measured(ctx, s, filepath.Join(dir, part.letter), part.measure); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", part.letter, err))
			fmt.Println("  FAILED:", err)
		}
	}
	return failed
}

// measured runs a part on a testbed of its own.
func measured(ctx context.Context, s settings, dir string, measure func(context.Context, *testbed) error) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	bed, err := newTestbed(ctx, s, dir)
	if err == nil {
		err = measure(ctx, bed)
	}
	return errors.Join(err, bed.close())
}

func say(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) }
