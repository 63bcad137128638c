package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	Rounds   int    `json:"rounds"`
	Requests int    `json:"requests"` // of a round
	Only     string `json:"only"`     // letters of what is measured
	Sizes    []int  `json:"sizes"`    // of e, records
	json     string
	former   string
	peers    string
	profile  string
	verbose  bool
}

// longest is the time that all may take.
const longest = 10 * time.Minute

func main() {
	if len(os.Args) == 4 && os.Args[1] == childRole {
		if err := childMain(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	s := settings{}
	sizes := ""
	flag.IntVar(&s.Rounds, "rounds", 5, "interleaved rounds")
	flag.IntVar(&s.Requests, "requests", 20_000, "requests of a round")
	flag.StringVar(&s.Only, "only", "abcdefghp", "what to measure")
	flag.StringVar(&sizes, "sizes", "1,1000,100000,1000000", "numbers of records for e")
	flag.StringVar(&s.json, "json", "", "write the report to this file as well")
	flag.StringVar(&s.former, "former", "", "an orderbridge built before a change, to be measured beside the present one")
	flag.StringVar(&s.peers, "peers", "", "the program of bench/peers, to be measured beside orderbridge")
	flag.StringVar(&s.profile, "cpuprofile", "",
		"write a CPU profile of the bridge with the fewest records of e to this file")
	flag.BoolVar(&s.verbose, "v", false, "show what the processes log")
	flag.Parse()
	for field := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: -sizes: %q is not a number of records\n", field)
			os.Exit(2)
		}
		s.Sizes = append(s.Sizes, n)
	}
	if flag.NArg() > 0 || s.Rounds < 1 || s.Requests < 10*warmPart {
		fmt.Fprintf(os.Stderr, "bench: want at least one round of at least %d requests, and no arguments\n", 10*warmPart)
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithTimeoutCause(ctx, longest, fmt.Errorf("the bench may take %s", longest))
	err := run(ctx, s)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	r := &report{Started: time.Now(), Settings: s,
		Machine: machine{CPUs: runtime.NumCPU(), Go: runtime.Version(), Load: loadAverage()}}
	b, err := newBench(ctx, s, r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	failed := b.measureAll(ctx)
	r.Took, r.Machine.Then = time.Since(r.Started).Seconds(), loadAverage()
	r.compare()
	r.print(os.Stdout) // what there is, if not all could be measured
	if s.json != "" {
		failed = errors.Join(failed, r.write(s.json))
	}
	return failed
}

func (b *bench) measureAll(ctx context.Context) error {
	for _, part := range []struct {
		letters string
		measure func(context.Context) error
	}{{"abcdp", b.throughput}, {"f", b.latency}, {"f", b.takeOver}, {"g", b.wider}, {"h", b.limits}, {"e", b.scale}} {
		if !strings.ContainsAny(b.Only, part.letters) {
			continue
		}
		if err := part.measure(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.letters, errors.Join(err, context.Cause(ctx)))
		}
	}
	return nil
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	fields := strings.Fields(string(data))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
