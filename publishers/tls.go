package publishers

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"slices"

	"orderbridge/bridge/record"
)

// tlsSettings are what a record's tls member comes to, with the contents of its
// files. Records whose digests are equal share their connections.
type tlsSettings struct {
	digest     [sha256.Size]byte
	trustAll   bool
	roots      *x509.CertPool // nil: the publisher's
	client     *tls.Certificate
	minVersion uint16
	suites     []uint16 // of TLS 1.2; nil: the default ones
}

// loadTLS reads the files of a record's tls member. hosts are all that see the
// client certificate, that of the target first.
func loadTLS(t *record.TLS, from *sources, hosts []string) (*tlsSettings, error) {
	s := &tlsSettings{trustAll: t.TrustAll, minVersion: tls.VersionTLS12}
	if t.MinVersion == "1.3" {
		s.minVersion = tls.VersionTLS13
	}
	s.suites = cipherSuites(t.CipherSuites)
	password, err := from.secret("tls.keyPassword", t.KeyPassword)
	if err != nil {
		return nil, err
	}
	seen := sha256.New()
	read := func(member, name string, from func(member, name string) ([]byte, error)) ([]byte, error) {
		if name == "" {
			seen.Write([]byte{0})
			return nil, nil
		}
		data, err := from(member, name)
		data = plainPEM(data)
		seen.Write(binary.BigEndian.AppendUint64([]byte{1}, uint64(len(data))))
		seen.Write(data)
		return data, err
	}
	trust, err := read("tls.trustFile", t.TrustFile, from.certificates)
	if err != nil {
		return nil, err
	}
	cert, err := read("tls.clientCert", t.ClientCert, from.certificates)
	if err != nil {
		return nil, err
	}
	key, err := read("tls.keyFile", t.KeyFile,
		func(member, name string) ([]byte, error) { return from.key(member, name, hosts) })
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
	for _, suite := range s.suites {
		seen.Write(binary.BigEndian.AppendUint16(nil, suite))
	}
	if s.trustAll {
		seen.Write([]byte{1})
	}
	seen.Sum(s.digest[:0])
	return s, nil
}

// cipherSuites are the default ones and those named; nil: the default ones only.
func cipherSuites(names []string) (ids []uint16) {
	if len(names) == 0 {
		return nil
	}
	for _, suite := range tls.CipherSuites() {
		ids = append(ids, suite.ID)
	}
	for _, suite := range tls.InsecureCipherSuites() {
		if slices.Contains(names, suite.Name) {
			ids = append(ids, suite.ID)
		}
	}
	return ids
}

// apply makes the config follow the settings.
func (s *tlsSettings) apply(config *tls.Config) {
	config.MinVersion = s.minVersion
	config.InsecureSkipVerify = s.trustAll
	config.CipherSuites = s.suites
	if s.roots != nil {
		config.RootCAs = s.roots
	}
	if s.client == nil {
		return
	}
	// Whatever authorities the server names: its list is often incomplete, and
	// the record says that this certificate is to be shown.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return s.client, nil }
	// Some servers (IIS, Apache for a path) ask for it only once they have seen
	// the request; in TLS 1.2 they do so by a second handshake.
	config.Renegotiation = tls.RenegotiateOnceAsClient
}
