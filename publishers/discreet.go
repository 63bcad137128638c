package publishers

import (
	"errors"
	"net/url"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// discreet takes from a failed attempt what a tenant must not hear: addresses
// and open ports of networks that the operator alone may look into. The class of
// the failure stays; what is left out goes to the operator's log.
func (w *Webhook) discreet(failure *bridge.AttemptError, err error, tenant string, target *url.URL) {
	if tenant == "" || w.options.Dev || failure.Fault == bridge.FaultLocal {
		return
	}
	var (
		policy *policyError
		token  *tokenError
		reason string
		where  = ""
		host   = target.Host
	)
	if errors.As(err, &token) {
		if token.reason != "" { // it answered
			return
		}
		where, host, target = "token server "+token.host+": ", token.host, token.target
	}
	switch isPolicy := errors.As(err, &policy); {
	case isPolicy && policy.literal:
		return
	case isPolicy:
		reason = "not allowed by policy: " + host + " leads to an address that needs ORDERBRIDGE_EGRESS_ALLOW"
	case !w.isInside(err, target):
		return
	default:
		reason = "no answer from " + host + ", which lies in an internal network: the operator's log tells why"
	}
	failure.Reason, failure.Detail = oneLine(where+reason, limits.ReasonBytes), failure.Reason
}

// isInside reports whether a failed attempt had to do with an internal address.
func (w *Webhook) isInside(err error, target *url.URL) bool {
	var (
		step *connectError
		conn *http1.ConnError
	)
	switch {
	case errors.As(err, &step) && step.internal:
		return true
	case errors.As(err, &conn) && conn.Remote != nil && w.options.Proxy == "" &&
		w.standard.dialer.isInternal(conn.Remote.String()):
		return true
	case target == nil:
		return false
	}
	// One that was cut off tells nothing of what it had dialed.
	origin, err := http1.OriginOf(target)
	return err == nil && w.options.inside.has(origin.Addr())
}
