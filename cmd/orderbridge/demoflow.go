package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// After its story `demo --keep` goes on publishing orders, so that the console has
// something to show. Their ids begin with flowPrefix and are counted; crm fails twice
// on each flowFails-th of them, which then waits while the others go on.
const (
	flowPrefix = "flow-"
	flowPause  = 2 * time.Second
	flowFails  = 10
)

// flow publishes until ctx ends.
func (d *demo) flow(ctx context.Context) {
	s := newSession(d.app.cfg, d.app.log, d.app.nc, d.app.js, nil)
	tick := time.NewTicker(flowPause)
	defer tick.Stop()
	for n := 1; ; n++ {
		event := fmt.Sprintf(`{"orderId":"%s%d","eventType":"OrderChanged"}`, flowPrefix, n)
		if _, err := s.publishOne(ctx, &nats.Msg{Subject: "orders", Data: []byte(event)}, nil); err != nil && ctx.Err() == nil {
			d.app.log.Warn("the demo's order was not published", "order", n, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// flowOrder tells the number of an order of the flow; false for any other.
func flowOrder(order string) (n int, ok bool) {
	text, ok := strings.CutPrefix(order, flowPrefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// flowStatus is what crm answers to an attempt for an order of the flow.
func flowStatus(n int, attempt string) int {
	if n%flowFails == 0 && (attempt == "1" || attempt == "2") {
		return http.StatusServiceUnavailable
	}
	return http.StatusNoContent
}
