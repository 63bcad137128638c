package bridge

import (
	"context"
	"net"
	"net/url"
	"strings"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// RetryNow says whose waits are to end: a subscription's, those of all whose
// target is a host, or, with an order, only those of that order.
type RetryNow struct {
	Subscription string // "": all
	Order        string // id, or the token of a lane; "": all
	Host         string // host or host:port of target URLs, where no subscription is named; "": any
	Tenant       string // whose subscriptions it may concern; "": everybody's
}

// concerns tells whether a subscription is meant, where none is named.
func (r RetryNow) concerns(s *record.Subscription) bool {
	return (r.Tenant == "" || s.Tenant == r.Tenant) && (r.Host == "" || targets(s.TargetURL, r.Host))
}

// targets tells whether a URL leads to a host, of any port unless one is given.
func targets(target, host string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	name, port := strings.Trim(host, "[]"), ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		name, port = h, p
	}
	if !strings.EqualFold(u.Hostname(), name) {
		return false
	}
	is := u.Port()
	switch {
	case is != "":
	case u.Scheme == "http":
		is = "80"
	default:
		is = "443"
	}
	return port == "" || port == is
}

// RetryNow ends what subscriptions of a shard, or one order of each, wait for.
// It says how many waited; ErrNotLeader if another replica must be asked, and an
// error that says why it cannot be done otherwise.
func (r *Replica) RetryNow(ctx context.Context, shard int, what RetryNow) (protocol.Done, error) {
	s := r.seatAt(shard)
	if what.Subscription != "" {
		s = r.seatOf(what.Subscription)
	}
	if s == nil || s.term.Load() == nil {
		return protocol.Done{}, ErrNotLeader
	}
	return s.retryNow(ctx, what)
}

// Skip makes the head of an order that waits a dead letter, with that reason. A
// sequence that is not 0 must be that of the head. It returns when the letter is
// stored, with the sequence; the errors are those of RetryNow.
func (r *Replica) Skip(ctx context.Context, subscription, order string, sequence uint64, reason string) (uint64, error) {
	s := r.seatOf(subscription)
	if s == nil || s.term.Load() == nil {
		return 0, ErrNotLeader
	}
	done, err := s.command(ctx, "skip: ", func(n uint64) protocol.Input {
		return &protocol.SkipHead{Command: n, Subscription: subscription, Order: order, Sequence: sequence, Reason: reason}
	})
	return done.Sequence, err
}
