package main

import (
	"context"
	"errors"
	"log/slog"

	"orderbridge/config"
)

// serve wires all parts in the order in which an event meets them, and runs
// them until ctx ends.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	return errors.New("not wired yet")
}
