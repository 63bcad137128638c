package localca

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

func TestIssue(t *testing.T) {
	t.Parallel()
	ca, err := New(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	good, err := ca.Issue("localhost", "127.0.0.1", "::1")
	if err != nil {
		t.Fatal(err)
	}
	expired, err := ca.IssueFor(time.Now().Add(-time.Hour), time.Now().Add(-time.Minute), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca.PEM()) {
		t.Fatal("PEM holds no certificate")
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := good.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			t.Errorf("verify for %s: %v", host, err)
		}
	}
	var invalid x509.CertificateInvalidError
	if _, err := expired.Leaf.Verify(x509.VerifyOptions{Roots: ca.Pool()}); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
		t.Errorf("expired certificate: got %v", err)
	}
	stranger, err := New(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := good.Leaf.Verify(x509.VerifyOptions{Roots: stranger.Pool()}); !errors.As(err, &unknown) {
		t.Errorf("a certificate of another authority: got %v", err)
	}
}
