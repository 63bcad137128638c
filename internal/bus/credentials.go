package bus

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"github.com/nats-io/nats.go"
)

// credentials are how one logs in. Credentials file, certificates and keys are
// read anew for each connection: they are rotated while the program runs.
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
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password.Reveal()))
	}
	if o.Token != "" {
		opts = append(opts, nats.Token(o.Token.Reveal()))
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
