package main

import (
	"context"
	"errors"
	"fmt"
)

// untilClosed ends with an error when the connection to the bus is closed
// though nobody has asked for it: nothing can be done without one, and a new
// process gets a new one.
func (a *app) untilClosed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.link.Closed():
	}
	if ctx.Err() != nil {
		return nil
	}
	if err := a.nc.LastError(); err != nil {
		return fmt.Errorf("the connection to NATS was closed: %w", err)
	}
	return errors.New("the connection to NATS was closed")
}

// busReasons are what keeps the bridge from its bus.
func (a *app) busReasons() []string {
	var reasons []string
	if s := a.inside.Load(); s != nil && s.Problem() != "" {
		reasons = append(reasons, s.Problem())
	}
	if problem := a.link.Problem(); problem != "" {
		reasons = append(reasons, "the bus is not connected: "+problem)
	}
	if violation := a.link.Violation(); violation != "" {
		reasons = append(reasons, violation)
	}
	if unfit := a.unfit.Load(); unfit != nil {
		reasons = append(reasons, *unfit)
	}
	return reasons
}
