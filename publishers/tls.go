package publishers

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"weak"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"

	"orderbridge/bridge"
)

// tlsSettings are what a record's tls member comes to, with the contents of its
// files. Records whose digests are equal share their connections.
type tlsSettings struct {
	digest     [sha256.Size]byte
	trustAll   bool
	roots      *x509.CertPool // nil: the publisher's
	client     *tls.Certificate
	minVersion uint16
}

func loadTLS(t *bridge.TLS, from *sources, host string) (*tlsSettings, error) {
	s := &tlsSettings{trustAll: t.TrustAll, minVersion: tls.VersionTLS12}
	if t.MinVersion == "1.3" {
		s.minVersion = tls.VersionTLS13
	}
	password, err := from.secret("tls.keyPassword", host, t.KeyPassword)
	if err != nil {
		return nil, err
	}
	seen := sha256.New()
	read := func(member, name string) ([]byte, error) {
		if name == "" {
			seen.Write([]byte{0})
			return nil, nil
		}
		data, err := from.file(member, name)
		seen.Write(binary.BigEndian.AppendUint64([]byte{1}, uint64(len(data))))
		seen.Write(data)
		return data, err
	}
	trust, err := read("tls.trustFile", t.TrustFile)
	if err != nil {
		return nil, err
	}
	cert, err := read("tls.clientCert", t.ClientCert)
	if err != nil {
		return nil, err
	}
	key, err := read("tls.keyFile", t.KeyFile)
	if err != nil {
		return nil, err
	}
	if t.TrustFile != "" {
		certs, err := certificates(trust, password)
		if err != nil {
			return nil, named("tls.trustFile", t.TrustFile, "%w", err)
		}
		s.roots = x509.NewCertPool()
		for _, c := range certs {
			s.roots.AddCert(c)
		}
	}
	if t.KeyFile != "" {
		if s.client, err = clientCertificate(t, cert, key, password); err != nil {
			return nil, err
		}
	}
	seen.Write([]byte(password))
	seen.Write([]byte{byte(s.minVersion)})
	if s.trustAll {
		seen.Write([]byte{1})
	}
	seen.Sum(s.digest[:0])
	return s, nil
}

var (
	errWrongPassword = errors.New("cannot be opened: tls.keyPassword is wrong")
	errNoPassword    = errors.New("is encrypted: give its password in tls.keyPassword")
)

func isPEM(data []byte) bool { return bytes.Contains(data, []byte("-----BEGIN ")) }

// certificates are all that a PEM or PKCS#12 file holds.
func certificates(data []byte, password string) ([]*x509.Certificate, error) {
	if isPEM(data) {
		certs, err := pemCertificates(data)
		if err == nil && len(certs) == 0 {
			err = errors.New("holds no certificate")
		}
		return certs, err
	}
	certs, err := pkcs12.DecodeTrustStore(data, password)
	if err == nil {
		return certs, nil
	}
	if isWrongPassword(err) {
		return nil, pkcs12Error(err, password)
	}
	if _, leaf, others, err := pkcs12.DecodeChain(data, password); err == nil {
		return append(others, leaf), nil
	}
	return nil, errors.New("is neither PEM nor a PKCS#12 trust store or key that can be read; give certificates alone as PEM")
}

func isWrongPassword(err error) bool {
	return errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption)
}

func pkcs12Error(err error, password string) error {
	switch {
	case isWrongPassword(err) && password == "":
		return errNoPassword
	case isWrongPassword(err):
		return errWrongPassword
	default:
		return errors.New("is neither PEM nor a PKCS#12 file that can be read")
	}
}

func pemCertificates(data []byte) (certs []*x509.Certificate, err error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("holds a certificate that cannot be read")
		}
		certs = append(certs, c)
	}
	return certs, nil
}

// clientCertificate puts key and certificate together.
func clientCertificate(t *bridge.TLS, cert, key []byte, password string) (*tls.Certificate, error) {
	var (
		private any
		chain   []*x509.Certificate
		err     error
	)
	if isPEM(key) {
		if private, err = pemKey(key, password); err == nil {
			chain, err = pemCertificates(key)
		}
	} else {
		var leaf *x509.Certificate
		if private, leaf, chain, err = pkcs12.DecodeChain(key, password); err != nil {
			err = pkcs12Error(err, password)
		}
		chain = append([]*x509.Certificate{leaf}, chain...)
	}
	if err != nil {
		return nil, named("tls.keyFile", t.KeyFile, "%w", err)
	}
	if t.ClientCert != "" {
		if chain, err = pemCertificates(cert); err == nil && len(chain) == 0 {
			err = errors.New("holds no certificate in PEM")
		}
		if err != nil {
			return nil, named("tls.clientCert", t.ClientCert, "%w", err)
		}
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, named("tls.keyFile", t.KeyFile, "holds a key that cannot sign")
	}
	leaf := 0
	for leaf < len(chain) && !isKeyOf(signer, chain[leaf]) {
		leaf++
	}
	switch {
	case len(chain) == 0:
		return nil, named("tls.keyFile", t.KeyFile, "holds no certificate; name the file that does in tls.clientCert")
	case leaf == len(chain):
		return nil, named("tls.keyFile", t.KeyFile, "holds the key of another certificate")
	}
	out := &tls.Certificate{PrivateKey: signer, Leaf: chain[leaf], Certificate: [][]byte{chain[leaf].Raw}}
	for i, c := range chain {
		if i != leaf {
			out.Certificate = append(out.Certificate, c.Raw)
		}
	}
	return out, nil
}

func isKeyOf(key crypto.Signer, c *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(c.PublicKey)
}

// pemKey is the first private key of a PEM file, plain or encrypted, in PKCS#8
// or the older forms.
func pemKey(data []byte, password string) (any, error) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		der := block.Bytes
		switch block.Type {
		case "ENCRYPTED PRIVATE KEY":
			if password == "" {
				return nil, errNoPassword
			}
			key, err := pkcs8.ParsePKCS8PrivateKey(der, []byte(password))
			if err != nil { // the library has no error of its own for it
				return nil, errors.New("cannot be opened: tls.keyPassword is wrong, or its encryption is none of PKCS#5 v2")
			}
			return key, nil
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		default:
			continue
		}
		if x509.IsEncryptedPEMBlock(block) { //nolint:staticcheck // weak, but what older tools write
			if password == "" {
				return nil, errNoPassword
			}
			var err error
			if der, err = x509.DecryptPEMBlock(block, []byte(password)); err != nil { //nolint:staticcheck // as above
				return nil, errWrongPassword
			}
		}
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(b []byte) (any, error) { return x509.ParsePKCS1PrivateKey(b) },
			func(b []byte) (any, error) { return x509.ParseECPrivateKey(b) },
		} {
			if key, err := parse(der); err == nil {
				return key, nil
			}
		}
		return nil, errors.New("holds a key that cannot be read")
	}
	return nil, errors.New("holds no private key")
}

// pool is the connections of one TLS setting. Endpoints hold it; when the last
// of them is gone it goes, and its idle connections with it.
type pool struct{ transport *http.Transport }

// pools finds the pool of a TLS setting.
type pools struct {
	make func(*tlsSettings) *http.Transport

	mu  sync.Mutex
	all map[[sha256.Size]byte]pooled
}

type pooled struct {
	pool      weak.Pointer[pool]
	transport *http.Transport
}

func (p *pools) get(s *tlsSettings) *pool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.all[s.digest].pool.Value(); known != nil {
		return known
	}
	fresh := &pool{p.make(s)}
	if p.all == nil {
		p.all = map[[sha256.Size]byte]pooled{}
	}
	p.all[s.digest] = pooled{weak.Make(fresh), fresh.transport}
	digest, transport := s.digest, fresh.transport
	runtime.AddCleanup(fresh, func(t *http.Transport) {
		t.CloseIdleConnections()
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.all[digest].transport == t {
			delete(p.all, digest)
		}
	}, transport)
	return fresh
}

func (p *pools) closeIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.all {
		known.transport.CloseIdleConnections()
	}
}
