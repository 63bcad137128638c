package bus

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"github.com/nats-io/nats.go"
	"golang.org/x/net/proxy"

	"orderbridge/internal/limits"
)

// credentials are how one logs in. Credentials file, certificates and keys are
// read again for each connection: they are rotated while the program runs.
func (o Options) credentials() ([]nats.Option, error) {
	var opts []nats.Option
	if o.Creds != "" {
		if _, err := os.Stat(o.Creds); err != nil {
			return nil, fmt.Errorf("credentials file: %w", err)
		}
		opts = append(opts, nats.UserCredentials(o.Creds))
	}
	if o.NkeyFile != "" {
		opt, err := nats.NkeyOptionFromSeed(o.NkeyFile)
		if err != nil {
			return nil, fmt.Errorf("nkey file %q: %w", o.NkeyFile, err)
		}
		opts = append(opts, opt)
	}
	if o.Nkey != "" {
		opts = append(opts, nats.Nkey(o.Nkey, o.Sign))
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password.Reveal()))
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token.Reveal()))
	}
	if o.UserJWT != "" {
		opts = append(opts, nats.UserJWTAndSeed(o.UserJWT.Reveal(), o.UserSeed.Reveal()))
	}
	if o.SocksProxy != "" {
		dialer, err := socks(o.SocksProxy.Reveal())
		if err != nil {
			return nil, err
		}
		opts = append(opts, nats.SetCustomDialer(dialer))
	}
	if o.HandshakeFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	return o.tls(opts)
}

func (o Options) tls(opts []nats.Option) ([]nats.Option, error) {
	var certificate nats.TLSCertHandler
	if o.Cert != "" || o.Key != "" {
		certificate = o.pair
	}
	var roots nats.RootCAsHandler
	if o.CA != "" {
		roots = o.roots
	}
	if certificate == nil && roots == nil {
		return opts, nil
	}
	// nats.ClientTLSConfig calls them as well, but wraps nothing.
	if roots != nil {
		if _, err := roots(); err != nil {
			return nil, err
		}
	}
	if certificate != nil {
		if _, err := certificate(); err != nil {
			return nil, err
		}
	}
	return append(opts, nats.ClientTLSConfig(certificate, roots)), nil
}

func (o Options) pair() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return pair, fmt.Errorf("NATS client certificate %q with key %q: %w", o.Cert, o.Key, err)
	}
	return pair, nil
}

func (o Options) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, fmt.Errorf("NATS CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("NATS CA file %q: no PEM certificate in it", o.CA)
	}
	return pool, nil
}

// socksDialer connects through a SOCKS proxy.
type socksDialer struct{ proxy.ContextDialer }

func (d socksDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limits.BusConnectTime)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func socks(text string) (nats.CustomDialer, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("the SOCKS proxy is not a URL; write it as socks5://host:port") // without the value: it may hold a password
	}
	d, err := proxy.FromURL(u, &net.Dialer{Timeout: limits.BusConnectTime})
	if err != nil {
		return nil, fmt.Errorf("use the SOCKS proxy at %s: %w", u.Host, err)
	}
	dialer, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("the SOCKS proxy at %s: %s cannot be used", u.Host, u.Scheme)
	}
	return socksDialer{dialer}, nil
}
