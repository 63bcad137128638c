package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"orderbridge/bench/torture/journal"
	"orderbridge/internal/lab"
)

// settings are the flags.
type settings struct {
	duration time.Duration // of the torture; what is owed then gets longest more
	seed     uint64
	rate     int
	journal  string
	bridge   string
	dir      string
	calm     bool
	times    bool
}

const (
	nodeRole = "torture-node"
	longest  = 6 * time.Minute // until what is owed has arrived
)

var errBroken = errors.New("a promise was broken")

func main() {
	if len(os.Args) == 3 && os.Args[1] == nodeRole {
		lab.Node()
		return
	}
	s := settings{}
	check := ""
	flag.DurationVar(&s.duration, "duration", time.Minute, "how long events are published while things fail")
	flag.Uint64Var(&s.seed, "seed", 0, "of everything that is left to chance (0: one that is printed)")
	flag.IntVar(&s.rate, "rate", 100, "events a second; about 5 deliveries come of each")
	flag.StringVar(&s.journal, "journal", "", "keep the journal in this file")
	flag.StringVar(&s.bridge, "bridge", "", "a built orderbridge (default: build it)")
	flag.StringVar(&s.dir, "dir", "",
		"keep stores and logs in this directory (default: a temporary one, removed if all is well)")
	flag.BoolVar(&s.calm, "calm", false, "no nemesis: endpoints fail and records change, that is all")
	flag.BoolVar(&s.times, "times", lab.Held(), "hold the times of the contract too: on a machine that does nothing else")
	flag.StringVar(&check, "check", "", "check a journal and do nothing else")
	flag.Parse()
	if flag.NArg() > 0 || s.rate < 1 || s.duration <= 0 {
		fmt.Fprintln(os.Stderr, "torture: -rate and -duration must be positive, and there are no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, s.duration+longest+3*lab.Patience, errors.New("it takes too long"))
	err := run(ctx, s, check)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, check string) error {
	if check != "" {
		j, err := journal.Read(check)
		if err != nil {
			return err
		}
		return verdict(j)
	}
	if s.seed == 0 {
		s.seed = rand.Uint64N(1_000_000) + 1
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("seed", s.seed)
	j, dir, err := torture(ctx, s, log)
	if j == nil {
		return err
	}
	if s.journal != "" {
		err = errors.Join(err, j.Write(s.journal))
	}
	if err := errors.Join(err, verdict(j)); err != nil {
		path := dir + "/journal.gz"
		if werr := j.Write(path); werr != nil {
			path = werr.Error()
		}
		return fmt.Errorf("%w (seed %d; logs and stores: %s, journal: %s)", err, s.seed, dir, path)
	}
	if s.dir == "" {
		return os.RemoveAll(dir)
	}
	return nil
}
