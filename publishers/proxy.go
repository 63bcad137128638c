package publishers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"orderbridge/internal/limits"
)

// dialProxy asks the operator's HTTP proxy for a tunnel; TLS goes through it
// end to end. The proxy resolves host names, so the guard has judged only what
// can be known of the host before: what a name may lead to is up to the proxy.
// The proxy's own address is the operator's, and is not guarded.
func (d *dialer) dialProxy(ctx context.Context, network, addr string, plain bool) (net.Conn, error) {
	if plain {
		return nil, &connectError{stepDial, &policyError{err: errPlainHTTP, literal: true}, false}
	}
	conn, err := (&net.Dialer{KeepAlive: 30 * time.Second, Resolver: d.resolver}).DialContext(ctx, network, d.proxy)
	if err != nil {
		return nil, &connectError{stepProxy, localFault(err, true), false}
	}
	if err := tunnel(ctx, conn, addr); err != nil {
		_ = conn.Close()
		return nil, &connectError{stepProxy, err, d.isInternal(addr)}
	}
	return conn, nil
}

const stepProxy = "egress proxy"

// tunnel asks for a connection to addr and waits for the answer.
func tunnel(ctx context.Context, conn net.Conn, addr string) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: addr}, Host: addr, Header: http.Header{}}
	if err := req.Write(conn); err != nil {
		return err
	}
	answer := bufio.NewReaderSize(io.LimitReader(conn, limits.ProxyAnswerBytes), limits.ProxyAnswerBytes)
	resp, err := http.ReadResponse(answer, req)
	if err != nil {
		return errors.Join(ctx.Err(), err)
	}
	_ = resp.Body.Close() // a tunnel has none
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return &localError{what: "the egress proxy wants credentials (407), which ORDERBRIDGE_EGRESS_PROXY cannot give"}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("it answered %d to CONNECT", resp.StatusCode)
	case answer.Buffered() > 0:
		return errors.New("it sent something before the endpoint was asked")
	}
	return nil
}
