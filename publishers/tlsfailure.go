package publishers

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// certificateFailure says why a server's certificate was not accepted, and what
// to do about it.
func certificateFailure(verify *tls.CertificateVerificationError) string {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		chain   = verify.UnverifiedCertificates
	)
	switch {
	case errors.As(verify, &host):
		return "the certificate is not valid for host " + strconv.Quote(host.Host) + validFor(host.Certificate)
	case errors.As(verify, &unknown):
		return unknownAuthority(chain)
	case errors.As(verify, &invalid) && invalid.Reason == x509.Expired:
		return outOfTime(invalid.Cert, time.Now())
	case errors.As(verify, &invalid):
		return "the certificate is not valid: " + invalid.Error()
	}
	return "the certificate is not accepted: " + verify.Err.Error()
}

// unknownAuthority tells the causes apart that all come as "unknown authority".
func unknownAuthority(chain []*x509.Certificate) string {
	const remedy = "; if that is right, give the authority's certificate in tls.trustFile (for this subscription) or ORDERBRIDGE_TRUST_ROOTS (for all)"
	for _, c := range chain {
		// A root's own signature is not looked at.
		if weakSignature(c.SignatureAlgorithm) && !isSelfSigned(c) {
			return "the certificate of " + name(c) + " is signed with " + c.SignatureAlgorithm.String() +
				", which proves nothing any more; the server needs a new one, with SHA-256"
		}
	}
	switch {
	case len(chain) == 0:
		return "the certificate is signed by an unknown authority" + remedy
	case isSelfSigned(chain[0]):
		return "the certificate is signed by an unknown authority: by itself" + remedy
	case len(chain) == 1:
		return "the certificate is signed by an unknown authority, " + issuer(chain[0]) +
			", and the server sends no intermediate certificate (perhaps it should)" + remedy
	}
	return "the certificate is signed by an unknown authority, " + issuer(chain[len(chain)-1]) + remedy
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	return slices.Contains([]x509.SignatureAlgorithm{
		x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
	}, a)
}

func isSelfSigned(c *x509.Certificate) bool { return string(c.RawIssuer) == string(c.RawSubject) }

func outOfTime(c *x509.Certificate, now time.Time) string {
	switch {
	case c == nil:
		return "the certificate has expired or is not valid yet"
	case now.Before(c.NotBefore):
		return "the certificate of " + name(c) + " is not valid before " + c.NotBefore.UTC().Format(time.RFC3339) +
			" (is the clock right?)"
	}
	return "the certificate of " + name(c) + " has expired at " + c.NotAfter.UTC().Format(time.RFC3339)
}

// validFor lists some of the hosts that a certificate is good for.
func validFor(c *x509.Certificate) string {
	if c == nil {
		return ""
	}
	hosts := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	const most = 5
	switch {
	case len(hosts) == 0:
		return ", it names no host at all"
	case len(hosts) > most:
		return ", only for " + strings.Join(hosts[:most], ", ") + " and " + strconv.Itoa(len(hosts)-most) + " more"
	}
	return ", only for " + strings.Join(hosts, ", ")
}

func name(c *x509.Certificate) string {
	switch {
	case c.Subject.CommonName != "":
		return strconv.Quote(c.Subject.CommonName)
	case len(c.DNSNames) > 0:
		return strconv.Quote(c.DNSNames[0])
	}
	return strconv.Quote(c.Subject.String())
}

func issuer(c *x509.Certificate) string {
	if c.Issuer.CommonName != "" {
		return strconv.Quote(c.Issuer.CommonName)
	}
	return strconv.Quote(c.Issuer.String())
}

// alertHints say what a server's refusal of the handshake usually means, by the
// alert (RFC 8446, 6). crypto/tls does not export the type in which a received
// alert comes; its text is that of the exported one.
var alertHints = map[string]string{}

func init() {
	for hint, alerts := range map[string][]tls.AlertError{
		"perhaps it wants a client certificate: tls.keyFile; or it knows only old key exchanges: tls.cipherSuites": {40,
			71}, // handshake_failure, insufficient_security
		"it speaks none of the versions that are allowed: tls.minVersion, at least 1.2": {70}, // protocol_version
		"it wants a client certificate that it knows: tls.keyFile, tls.clientCert": {42,
			116}, // bad_certificate, certificate_required
		// unsupported_certificate, certificate_revoked, _expired, _unknown, unknown_ca, access_denied
		"it does not accept the client certificate: tls.keyFile, tls.clientCert": {43, 44, 45, 46, 48, 49},
		"it serves no such host": {112}, // unrecognized_name
	} {
		for _, alert := range alerts {
			alertHints[alert.Error()] = " (" + hint + ")"
		}
	}
}

// alertHint is what to look at after a received alert, "" if nothing is known.
func alertHint(alert error) string { return alertHints[alert.Error()] }
