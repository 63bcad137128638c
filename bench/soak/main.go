package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"orderbridge/internal/lab"
)

// settings are the flags.
type settings struct {
	duration time.Duration
	quiet    time.Duration // of it, at its end, without events
	every    time.Duration // between two lines
	rate     int           // events/s; each goes to all endpoints
	most     int           // MiB that may be resident
	bridge   string
}

func main() {
	s := settings{}
	flag.DurationVar(&s.duration, "duration", time.Hour, "how long it runs")
	flag.DurationVar(&s.quiet, "quiet", 2*time.Minute, "how long of it, at its end, nothing is published")
	flag.DurationVar(&s.every, "every", time.Minute, "time between two lines")
	flag.IntVar(&s.rate, "rate", 75, "events a second; each goes to 8 endpoints, of which 4 are healthy")
	flag.IntVar(&s.most, "most", 384, "MiB that the process may have resident in the second half")
	flag.StringVar(&s.bridge, "bridge", "", "a built orderbridge (default: build it)")
	flag.Parse()
	if flag.NArg() > 0 || s.rate < 1 || s.quiet >= s.duration || s.every < time.Second {
		fmt.Fprintln(os.Stderr,
			"soak: want a rate of at least 1, a quiet end shorter than the duration, lines at least a second apart, and no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if s.bridge, err = lab.Executable(ctx, s.bridge, dir); err != nil {
		return err
	}
	e, err := openEndpoints()
	if err != nil {
		return err
	}
	defer e.close()
	b, err := startBridge(ctx, s.bridge, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.subscribe(ctx, e); err != nil {
		return err
	}
	return soak(ctx, s, b, e)
}

// soak publishes, prints a line now and then, and judges.
func soak(ctx context.Context, s settings, b *bridge, e *endpoints) error {
	start, published, most := time.Now(), 0, 0
	tick, line := time.NewTicker(time.Second/time.Duration(s.rate)), time.NewTicker(s.every)
	defer tick.Stop()
	defer line.Stop()
	fmt.Println("  min  published  delivered | resident  anonymous  file | go: total - released  in use  live  next gc  limit  goroutines (MiB)")
	for time.Since(start) < s.duration {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-b.Ended():
			return fmt.Errorf("the bridge has ended\n%s", b.LastLines(20))
		case <-tick.C:
			if time.Since(start) > s.duration-s.quiet {
				continue
			}
			if err := b.publish(ctx, published); err != nil {
				return err
			}
			published++
		case <-line.C:
			m, err := b.memory(ctx)
			if err != nil {
				return err
			}
			fmt.Printf("%5.1f  %9d  %9d | %s\n", time.Since(start).Minutes(), published, e.healthy.Load(), m)
			if time.Since(start) > s.duration/2 {
				most = max(most, m.resident)
			}
		}
	}
	fmt.Printf("at most %d MiB resident in the second half; %d events, %d deliveries to %d healthy endpoints\n", most,
		published, e.healthy.Load(), healthyEndpoints)
	if most > s.most {
		return fmt.Errorf("%d MiB were resident, more than %d", most, s.most)
	}
	if got, want := int(e.healthy.Load()), published*healthyEndpoints; got < want {
		return fmt.Errorf("%d of %d deliveries to the healthy endpoints came", got, want)
	}
	return nil
}
