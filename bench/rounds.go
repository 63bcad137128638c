package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"orderbridge/internal/lab"
)

// contestant is one of those that are measured at full speed.
type contestant struct {
	load     *load
	place    place
	each     int // requests that an event makes; 0: it needs no bus, a signal lets it begin
	requests int // of a round
	until    int // the requests that count end with this one; 0: with the last
	ahead    int // so many requests at most are published and not made; 0: all of a round are published beforehand
	ps       []*lab.Process
}

// inTurn measures round by round.
func (b *bench) inTurn(ctx context.Context, all []*contestant) error {
	for _, c := range all {
		b.report.Loads = append(b.report.Loads, c.load)
		// Connections are made before what counts.
		warming := &load{Name: c.load.Name + " (warming up)"}
		if err := b.round(ctx, c, warming); err != nil {
			return fmt.Errorf("%s: %w", c.load.Name, err)
		}
		c.load.Connections = warming.Connections
	}
	for range b.Rounds {
		for _, c := range all {
			if err := b.round(ctx, c, c.load); err != nil {
				return fmt.Errorf("%s: %w", c.load.Name, err)
			}
		}
	}
	return nil
}

// round stops the processes while their events are published, and lets them
// loose on them. A client without a bus is only told to begin.
func (b *bench) round(ctx context.Context, c *contestant, l *load) (err error) {
	before, err := b.to.status(ctx)
	if err != nil {
		return err
	}
	if err := b.measure(ctx, c, l, func() error {
		if c.each == 0 {
			c.signal(syscall.SIGUSR1)
			return nil
		}
		if c.ahead > 0 {
			return b.publish(ctx, c.place, c.ahead/c.each)
		}
		c.signal(syscall.SIGSTOP)
		defer c.signal(syscall.SIGCONT)
		return b.publish(ctx, c.place, c.requests/c.each)
	}); err != nil {
		return err
	}
	if err := b.drained(ctx, c); err != nil {
		return err
	}
	after, err := b.to.status(ctx)
	l.Connections += int(after.Connections - before.Connections)
	return err
}

func (c *contestant) signal(s syscall.Signal) {
	for _, p := range c.ps {
		p.Signal(s)
	}
}

// cpu is what the contestant, the NATS server and the receiver have spent.
func (b *bench) cpu(c *contestant) (spent [3]time.Duration) {
	for _, p := range c.ps {
		spent[0] += cpuTime(p.Pid())
	}
	spent[1], spent[2] = cpuTime(b.nats.Pid()), cpuTime(b.sink.Pid())
	return spent
}

// measure starts what is measured and adds a round to l: from the end of the
// warming up to the last request that counts.
func (b *bench) measure(ctx context.Context, c *contestant, l *load, start func() error) (err error) {
	warm, last := c.requests/warmPart, c.requests
	if c.until > 0 {
		last = c.until
	}
	if err := b.to.expect(ctx, warm, last); err != nil {
		return err
	}
	if err := start(); err != nil {
		return err
	}
	feeding := make(chan error, 1)
	go func() { feeding <- b.feed(ctx, c) }()
	defer func() { err = errors.Join(err, <-feeding) }()
	from, err := b.reached(ctx, "warm", c.ps...)
	if err != nil {
		return err
	}
	before := b.cpu(c)
	to, err := b.reached(ctx, "total", c.ps...)
	if err != nil {
		return err
	}
	after := b.cpu(c)
	n := float64(last - warm)
	l.Rate = append(l.Rate, n/to.Sub(from).Seconds())
	for i, series := range []*[]float64{&l.Self, &l.NATS, &l.Sink} {
		if after[i] > 0 {
			*series = append(*series, (after[i]-before[i]).Seconds()*1000/n)
		}
	}
	b.say("%s  %s requests/s", l.Name, thousands(int(l.Rate[len(l.Rate)-1])))
	return nil
}

// feed publishes the rest of a round as requests are made.
func (b *bench) feed(ctx context.Context, c *contestant) error {
	if c.ahead == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var failed error
	published := c.ahead / c.each * c.each
	err := waitFor(ctx, func() bool {
		st, err := b.to.status(ctx)
		for ; err == nil && published < c.requests && published < int(st.Requests)+c.ahead; published += c.each {
			b.n++
			err = b.publishOne(c.place, orderOf(b.n), 0)
		}
		failed = err
		return err != nil || published >= c.requests
	})
	return errors.Join(err, failed)
}

// roundTimeout bounds a round: what takes longer has gone wrong.
const roundTimeout = time.Minute

// drained waits for the requests of a round that do not count.
func (b *bench) drained(ctx context.Context, c *contestant) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var st sinkStatus
	err := waitFor(ctx, func() bool {
		var err error
		st, err = b.to.status(ctx)
		return err == nil && st.Requests >= int64(c.requests)
	})
	if err != nil {
		return fmt.Errorf("%d of %d requests came: %w", st.Requests, c.requests, err)
	}
	return nil
}

// reached waits until the processes have made as many requests.
func (b *bench) reached(ctx context.Context, mark string, ps ...*lab.Process) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	for _, p := range ps {
		go func() {
			select {
			case <-p.Ended():
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	at, err := b.to.reached(ctx, mark)
	if err != nil {
		st, _ := b.to.status(context.WithoutCancel(ctx))
		err = fmt.Errorf("%s has made %d requests: %w", ps[0].Name, st.Requests, err)
	}
	return at, err
}

func (b *bench) stopAll(all []*contestant) error {
	var errs []error
	for _, c := range all {
		for _, p := range c.ps {
			errs = append(errs, b.stop(p))
		}
	}
	return errors.Join(errs...)
}
