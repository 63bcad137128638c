package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"time"

	"orderbridge/bench/torture/journal"
)

// startShards is how many shards there are at first: one for each bridge.
const startShards = bridges

// reshard wishes for another number of shards, as an operator does. It repeats
// nothing. That nobody can be asked at present is no failure.
func (w *testbed) reshard(ctx, _ context.Context, rng *rand.Rand, f *journal.Fault) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	n := 1 + rng.IntN(5)
	f.Target = strconv.Itoa(n)
	by := w.bridges[rng.IntN(len(w.bridges))].command
	cmd := exec.CommandContext(ctx, by.Path, "shards", "set", f.Target) //nolint:gosec // the program under test
	cmd.Env, cmd.Dir = by.Env, by.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Target += fmt.Sprintf(": %v: %.200s", err, out)
	}
	return nil
}

// reshardAndKill kills a bridge while the number changes.
func (w *testbed) reshardAndKill(ctx, all context.Context, rng *rand.Rand, f *journal.Fault) error {
	if err := w.reshard(ctx, all, rng, f); err != nil {
		return err
	}
	pause(ctx, between(rng, 0, 3))
	wished := f.Target
	err := w.killBridge(ctx, all, rng, f)
	f.Target = wished + " " + f.Target
	return err
}
