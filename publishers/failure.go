package publishers

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/publishers/http1"
)

// requestFailure says why there was no answer, of the endpoint or of its token
// server.
func requestFailure(err error, host string, timeout, connect time.Duration) *bridge.AttemptError {
	var token *tokenError
	switch {
	case !errors.As(err, &token):
		return transportFailure(err, host, timeout, connect)
	case token.reason != "":
		// Without its cause: that holds what the server sent, as it sent it.
		return &bridge.AttemptError{Fault: bridge.FaultTransport, Reason: token.Error(), Unreachable: true}
	}
	failure := transportFailure(token.err, token.host, timeout, connect)
	failure.Reason, failure.Err = "token server "+token.host+": "+failure.Reason, err
	failure.Unreachable = true
	return failure
}

// transportFailure says why there was no answer. Errors are told apart by
// type; the text of those that nobody knows is passed on.
func transportFailure(err error, host string, timeout, connect time.Duration) *bridge.AttemptError {
	fault := bridge.FaultTransport
	var (
		reason   string
		local    *localError
		policy   *policyError
		unsent   *http1.RequestError
		dns      *net.DNSError
		step     *connectError
		op       *net.OpError
		netErr   net.Error
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		isStep   = errors.As(err, &step)
		isRemote = errors.As(err, &op) && op.Op == "remote error"
	)
	switch {
	case errors.As(err, &local):
		fault, reason = bridge.FaultLocal, local.what
	case errors.As(err, &policy):
		fault, reason = bridge.FaultConfig, "not allowed by policy: "+policy.Error()
	case errors.As(err, &unsent):
		fault, reason = bridge.FaultConfig, "the request cannot be sent: "+unsent.Error()
	case errors.As(err, &dns) && dns.IsNotFound:
		reason = "DNS: no such host " + strconv.Quote(dns.Name)
	case errors.As(err, &dns) && dns.IsTimeout:
		reason = "DNS: no answer in time for " + strconv.Quote(dns.Name)
	case errors.As(err, &dns):
		reason = "DNS: " + strconv.Quote(dns.Name) + " could not be resolved"
	case errors.As(err, &verify):
		reason = "TLS: " + certificateFailure(verify)
	case errors.As(err, &record):
		reason = "TLS: " + host + " does not speak TLS at this port"
	case isRemote:
		reason = "TLS: refused by the server: " + op.Err.Error() + alertHint(op.Err)
	case errors.Is(err, errFlood):
		reason = "connection closed: " + host + " sent more over HTTP/2 than its answers need"
	case isStep && isTimeout(err):
		reason = step.step + ": no connection to " + host + " within " + connect.String()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		reason = "timeout: no answer from " + host + " within " + timeout.String()
	case errors.As(err, &netErr) && netErr.Timeout():
		reason = "timeout: no answer from " + host + " within " + timeout.String()
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = "connection refused by " + host
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		reason = "connection reset by " + host
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		reason = "no route to " + host
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if reason = "connection closed by " + host + " before its answer"; isStep {
			reason = step.step + ": connection closed by " + host
		}
	case isStep:
		reason = step.step + ": " + plainCause(step.err)
	default:
		reason = "no valid answer from " + host + ": " + plainCause(err)
	}
	return &bridge.AttemptError{Fault: fault, Reason: reason, Err: err,
		Unreachable: isStep || dns != nil || policy != nil || errors.Is(err, syscall.ECONNREFUSED)}
}

// plainCause is the text of an error without the addresses of a connection: our
// own is nobody's affair, nor where a name leads.
func plainCause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
}

// statusFailure is an answer that is not a success.
func statusFailure(a answer, now time.Time) *bridge.AttemptError {
	reason := strconv.Itoa(a.status)
	if text := http.StatusText(a.status); text != "" {
		reason += " " + text
	}
	if a.status >= 300 && a.status < 400 {
		reason += " (redirects are not followed)"
	}
	if text := oneLine(string(a.text), limits.ForeignTextBytes); text != "" {
		reason += ": " + text
	}
	failure := &bridge.AttemptError{Fault: bridge.FaultStatus, Status: a.status, Reason: reason}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		failure.RetryAfter = bridge.ParseRetryAfter(a.retryAfter, now)
	}
	return failure
}

// oneLine makes foreign text fit for a log line: white space becomes a blank,
// control characters and what is not UTF-8 go, and it is at most limit bytes long.
func oneLine(s string, limit int) string {
	var b strings.Builder
	blank := false
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		switch {
		case r == utf8.RuneError && size <= 1:
			continue
		case unicode.IsSpace(r):
			blank = b.Len() > 0
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			continue
		}
		need := utf8.RuneLen(r)
		if blank {
			need++
		}
		if b.Len()+need > limit {
			break
		}
		if blank {
			b.WriteByte(' ')
			blank = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
