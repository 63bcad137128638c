package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
)

// manyInFlight is how many requests run at a time in c256.
const manyInFlight = 256

// plan is a case of a to d.
type plan struct {
	name, title string
	each        int // requests that an event makes
	start       func(context.Context, place) (*lab.Process, error)
}

// throughput measures a to d in turn.
func (b *bench) throughput(ctx context.Context) (err error) {
	var all []*contestant
	defer func() { err = errors.Join(err, b.stopAll(all)) }()
	for _, c := range b.plans() {
		if !strings.Contains(b.Only, c.name[:1]) {
			continue
		}
		where := place{c.name}
		p, err := c.start(ctx, where)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		all = append(all, &contestant{load: &load{Name: c.name, Title: c.title}, place: where, each: c.each,
			requests: b.Requests, ps: []*lab.Process{p}})
	}
	return b.inTurn(ctx, all)
}

func (b *bench) plans() []plan {
	raw := func(connections int) func(context.Context, place) (*lab.Process, error) {
		return func(context.Context, place) (*lab.Process, error) {
			return startRole("raw", rawSettings{b.to.URL, b.caFile, b.Requests, connections}, &struct{}{})
		}
	}
	ours := func(program string, subscriptions, maxInFlight int) func(context.Context, place) (*lab.Process, error) {
		return func(ctx context.Context, p place) (*lab.Process, error) {
			all, err := b.startBridges(ctx, &bridges{place: p, program: program,
				records: slices.Repeat([]string{b.plain("/", maxInFlight)}, subscriptions)})
			if err != nil {
				return nil, err
			}
			return all[0].Process, nil
		}
	}
	naive := func(ctx context.Context, p place) (*lab.Process, error) {
		if err := b.makeStream(ctx, p); err != nil {
			return nil, err
		}
		return b.startNaive(p, "/", "POST")
	}
	const many = fanOut * record.DefaultMaxInFlight
	plans := []plan{
		{"a", fmt.Sprintf("HTTP limit, %d connections", inFlight), 0, raw(inFlight)},
		{"a2", fmt.Sprintf("HTTP limit, %s connections", thousands(many)), 0, raw(many)},
		{"b", fmt.Sprintf("naive loop, %d in flight", inFlight), 1, naive},
		{"c", fmt.Sprintf("orderbridge, 1 subscription, %d in flight", inFlight), 1, ours(b.program, 1, inFlight)},
		{"c256", fmt.Sprintf("orderbridge, 1 subscription, %d in flight", manyInFlight), 1,
			ours(b.program, 1, manyInFlight)},
		{"d", fmt.Sprintf("orderbridge, %d subscriptions, %d in flight", fanOut, fanOut), fanOut,
			ours(b.program, fanOut, 1)},
		{"d2", fmt.Sprintf("orderbridge, %d subscriptions, %s in flight", fanOut, thousands(many)), fanOut,
			ours(b.program, fanOut, record.DefaultMaxInFlight)},
	}
	if b.former != "" {
		plans = append(plans,
			plan{"c_former", "c of the former build", 1, ours(b.former, 1, inFlight)},
			plan{"c256_former", "c256 of the former build", 1, ours(b.former, 1, manyInFlight)},
			plan{"d_former", "d of the former build", fanOut, ours(b.former, fanOut, 1)},
			plan{"d2_former", "d2 of the former build", fanOut, ours(b.former, fanOut, record.DefaultMaxInFlight)})
	}
	if b.peers != "" {
		plans = append(plans,
			plan{"p_watermill", "Watermill's router and HTTP publisher, 64 in flight", 1, b.peer("watermill")},
			plan{"p_benthos", "the Benthos engine, 64 in flight", 1, b.peer("benthos")})
	}
	return plans
}

// peer starts one of bench/peers.
func (b *bench) peer(name string) func(context.Context, place) (*lab.Process, error) {
	return func(ctx context.Context, p place) (*lab.Process, error) {
		if err := b.makeStream(ctx, p); err != nil {
			return nil, err
		}
		return startOther(name, b.peers, []string{name},
			peerSettings{b.natsURL, p.stream(), p.subject(), b.to.URL + "/", b.caFile, inFlight}, &struct{}{})
	}
}

// peerSettings are those of bench/peers.
type peerSettings struct {
	NATS, Stream, Subject, URL, CAFile string
	InFlight                           int
}
