package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"orderbridge/internal/lab"
)

const (
	shards             = 4    // of g
	shardShare         = 0.25 // of a core, for each bridge
	shardSubscriptions = 200
	shardAhead         = 2_000 // requests that wait, for each bridge: more would be parked by R5
)

// wider measures g: 1, 2 and 4 bridges, each held to a quarter of a core, that
// share the shards of one installation. Server, publisher and receiver are not
// held back.
func (b *bench) wider(ctx context.Context) (err error) {
	var all []*contestant
	var groups []string
	defer func() {
		err = errors.Join(err, b.stopAll(all))
		for _, dir := range groups {
			err = errors.Join(err, removeGroup(dir))
		}
	}()
	for _, n := range []int{1, 2, 4} {
		name := "g" + strconv.Itoa(n)
		own := make([]string, n)
		for i := range own {
			own[i], err = newGroup(fmt.Sprintf("orderbridge-bench-%d-%s-%d", os.Getpid(), name, i), shardShare)
			if err != nil {
				b.report.Left = append(b.report.Left, "g is not measured: "+err.Error())
				return nil
			}
			groups = append(groups, own[i])
		}
		c := &contestant{load: &load{Name: name, Title: fmt.Sprintf("%d × a quarter of a core, %d shards, %d subscriptions",
			n, shards, shardSubscriptions)}, place: place{name}, each: shardSubscriptions, requests: n * b.Requests,
			until: n * b.Requests * 3 / 4, ahead: n * shardAhead}
		replicas, err := b.startBridges(ctx, &bridges{place: c.place, program: b.program, replicas: n, group: own,
			records: slices.Repeat([]string{b.plain("/", 4)}, shardSubscriptions),
			env:     []string{"ORDERBRIDGE_SHARDS=" + strconv.Itoa(shards)}})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range replicas {
			c.ps = append(c.ps, p.Process)
		}
		all = append(all, c)
		if err := b.shared(ctx, replicas); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.inTurn(ctx, all)
}

// sharingTime bounds how long replicas may take to share the shards.
const sharingTime = 90 * time.Second

// shared waits until each replica leads as many shards as the others.
func (b *bench) shared(ctx context.Context, replicas []*lab.Program) error {
	ctx, cancel := context.WithTimeout(ctx, sharingTime)
	defer cancel()
	var led []int
	err := waitFor(ctx, func() bool {
		led = led[:0]
		for _, p := range replicas {
			r, _, err := p.Readyz(ctx)
			if err != nil {
				return false
			}
			led = append(led, len(r.Shards.Leads))
		}
		return slices.Min(led) == slices.Max(led) && led[0] == shards/len(replicas)
	})
	if err != nil {
		return fmt.Errorf("the replicas lead %v of %d shards: %w", led, shards, err)
	}
	return nil
}
