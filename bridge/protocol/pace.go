package protocol

import (
	"math"
	"time"

	"orderbridge/bridge/record"
)

// pace says when a subscription may start its next attempt: not more often than
// its rate limit allows, and slowly at first after its endpoint has come back.
type pace struct {
	limit  *record.RateLimit
	starts []time.Duration // the last limit.Requests starts, as a ring
	oldest int

	ramp ramp
}

// ramp is a slow start: a rate that doubles step by step, and then ends.
type ramp struct {
	rate   float64 // attempts a second at first; set by begin
	double time.Duration
	length time.Duration // full speed after it

	since  time.Duration
	on     bool
	tokens float64
	filled time.Duration // when tokens was right
}

// wait returns how long the next attempt has to wait; 0: it may start.
func (p *pace) wait(now time.Duration) time.Duration {
	return max(p.waitLimit(now), p.ramp.wait(now))
}

// started takes note of an attempt.
func (p *pace) started(now time.Duration) {
	if p.ramp.on {
		p.ramp.tokens--
	}
	if p.limit == nil {
		return
	}
	if len(p.starts) < p.limit.Requests {
		p.starts = append(p.starts, now)
		return
	}
	p.starts[p.oldest] = now
	p.oldest = (p.oldest + 1) % len(p.starts)
}

// unstarted takes back an attempt that began at that time and sent nothing.
func (p *pace) unstarted(at time.Duration) {
	if p.ramp.on {
		p.ramp.tokens++
	}
	n := len(p.starts)
	slot := func(i int) *time.Duration { return &p.starts[(p.oldest+i)%n] }
	for i := n - 1; i >= 0; i-- {
		if *slot(i) != at {
			continue
		}
		for ; i < n-1; i++ {
			*slot(i) = *slot(i + 1)
		}
		if n < p.limit.Requests {
			p.starts = p.starts[:n-1]
			return
		}
		p.oldest = (p.oldest + n - 1) % n
		p.starts[p.oldest] = longAgo
		return
	}
}

const longAgo = time.Duration(math.MinInt64 / 2)

// waitLimit: the attempt before as many others as are allowed must be long
// enough ago. So no window of that length ever sees one more.
func (p *pace) waitLimit(now time.Duration) time.Duration {
	if p.limit == nil || len(p.starts) < p.limit.Requests {
		return 0
	}
	return max(0, p.starts[p.oldest]+p.limit.Per-now)
}

// quiet tells whether it is as that of a subscription that has sent nothing yet.
func (p *pace) quiet(now time.Duration) bool {
	if p.ramp.on {
		return false
	}
	for _, at := range p.starts {
		if at+p.limit.Per > now {
			return false
		}
	}
	return true
}

// setLimit follows a changed record; what has started counts under the new limit.
func (p *pace) setLimit(l *record.RateLimit) {
	if l != nil && p.limit != nil && *l == *p.limit {
		return
	}
	var starts []time.Duration
	for i := range p.starts {
		starts = append(starts, p.starts[(p.oldest+i)%len(p.starts)])
	}
	p.limit, p.oldest = l, 0
	if l != nil {
		p.starts = starts[max(0, len(starts)-l.Requests):]
	} else {
		p.starts = nil
	}
}

func (r *ramp) begin(now time.Duration, rate float64) {
	r.on, r.rate, r.since, r.filled, r.tokens = true, rate, now, now, 1
}

// present is the rate now, in attempts a second.
func (r *ramp) present(now time.Duration) float64 {
	return r.rate * float64(uint64(1)<<min((now-r.since)/r.double, 40))
}

func (r *ramp) wait(now time.Duration) time.Duration {
	if !r.on {
		return 0
	}
	if now-r.since >= r.length {
		r.on = false
		return 0
	}
	rate := r.present(now)
	// At most a twentieth of a second may be caught up at once.
	r.tokens = min(r.tokens+rate*(now-r.filled).Seconds(), max(1, rate/20))
	r.filled = now
	if r.tokens >= 1 {
		return 0
	}
	return max(time.Millisecond, time.Duration((1-r.tokens)/rate*float64(time.Second)))
}
