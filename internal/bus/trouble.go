package bus

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/limits"
)

// What the server says of full houses while one connects: nats.go has other
// errors for it once one is connected.
var (
	errMaxConnections        = errors.New("nats: " + nats.MAX_CONNECTIONS_ERR)
	errMaxAccountConnections = errors.New("nats: " + nats.MAX_ACCOUNT_CONNECTIONS_ERR)
)

// Explain says in one line why there is no connection, and which setting to
// look at. It shows no secret.
func (o Options) Explain(err error) string {
	var (
		dns       *net.DNSError
		unknown   x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		plaintext tls.RecordHeaderError
		op        *net.OpError
	)
	switch {
	case err == nil:
		return "no answer"
	case errors.Is(err, nats.ErrAuthorization):
		return "NATS refuses the credentials (Authorization Violation): " + o.credentialsRemedy()
	case errors.Is(err, nats.ErrAuthExpired):
		return "NATS refuses the credentials, since they have expired: " + o.credentialsRemedy()
	case errors.Is(err, nats.ErrAuthRevoked):
		return "NATS refuses the credentials, since they were revoked: " + o.credentialsRemedy()
	case errors.Is(err, nats.ErrAccountAuthExpired):
		return "NATS refuses the credentials, since the account's JWT has expired: renew it at the server; " +
			o.credentialsRemedy()
	case errors.Is(err, nats.ErrMaxConnectionsExceeded), errors.Is(err, errMaxConnections):
		return "the NATS server has as many connections as it allows: raise its max_connections, or close others"
	case errors.Is(err, nats.ErrMaxAccountConnectionsExceeded), errors.Is(err, errMaxAccountConnections):
		return "the account has as many connections to NATS as it may have: raise its limit, or close others"
	case errors.Is(err, nats.ErrSecureConnRequired):
		return "the NATS server demands TLS: write tls:// in " + o.setting("URL")
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the NATS server offers no TLS: write nats:// in " + o.setting("URL") + " and leave " + o.setting("CA") +
			" and " + o.setting("CERT") + " out, or switch TLS on at the server"
	case errors.As(err, &unknown):
		if o.CA == "" {
			return "the certificate of the NATS server is signed by nobody whom this machine trusts: set " +
				o.setting("CA") + " to the certificate of its authority"
		}
		return fmt.Sprintf("the certificate of the NATS server is not signed by the authority in %s (%s): put the right one there", o.setting("CA"), o.CA)
	case errors.As(err, &host):
		return "the certificate of the NATS server is for another name: " + host.Error() + "; use the right name in " +
			o.setting("URL")
	case errors.As(err, &invalid):
		return "the certificate of the NATS server is not valid: " + invalid.Error()
	case errors.As(err, &plaintext):
		return "what answers does not speak TLS as NATS does: check scheme and port in " + o.setting("URL")
	case errors.As(err, &op) && op.Op == "remote error":
		if o.Cert == "" {
			return fmt.Sprintf("the NATS server breaks the TLS handshake off (%v): it may want a client certificate, set %s and %s", op.Err, o.setting("CERT"), o.setting("KEY"))
		}
		return fmt.Sprintf("the NATS server refuses the client certificate (%v): check %s (%s)", op.Err,
			o.setting("CERT"), o.certificateState())
	case errors.As(err, &dns):
		return fmt.Sprintf("the host %q of %s is not found: %v", dns.Name, o.setting("URL"), dns.Err)
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, nats.ErrNoServers):
		return "nobody listens there; check " + o.setting("URL") + ", and whether the NATS server runs"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return "no answer in time; check " + o.setting("URL")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closes the connection: it restarts, has as many connections as it allows (max_connections), or refuses the client certificate (" + o.setting("CERT") + ")"
	case errors.Is(err, nats.ErrPermissionViolation):
		return err.Error() + ": give the user that permission (deploy/nats/accounts.conf)"
	}
	return err.Error()
}

// setting is the variable that sets a part of the connection.
func (o Options) setting(name string) string {
	if o.Context != "" {
		return fmt.Sprintf("context %q", o.Context)
	}
	return "ORDERBRIDGE_NATS_" + name
}

// credentialsRemedy names what the credentials come from.
func (o Options) credentialsRemedy() string {
	switch {
	case o.Context != "":
		return fmt.Sprintf("check those of context %q with `nats context show %s`", o.Context, o.Context)
	case o.userInURL():
		return "check the user in ORDERBRIDGE_NATS_URL; what stands there goes before all other credentials"
	case o.Creds != "":
		return fmt.Sprintf("check ORDERBRIDGE_NATS_CREDS (%s%s); the file is read again at each attempt", o.Creds,
			expiry(o.Creds))
	case o.NkeyFile != "":
		return fmt.Sprintf("check ORDERBRIDGE_NATS_NKEY (%s); the file is read when the program starts", o.NkeyFile)
	case o.User != "":
		return fmt.Sprintf("check ORDERBRIDGE_NATS_USER (%q) and ORDERBRIDGE_NATS_PASSWORD", o.User)
	case o.Token != "":
		return "check ORDERBRIDGE_NATS_TOKEN"
	case o.Cert != "":
		return fmt.Sprintf("it knows nobody by the client certificate in ORDERBRIDGE_NATS_CERT (%s)", o.certificateState())
	}
	return "none are set; set ORDERBRIDGE_NATS_CREDS, ORDERBRIDGE_NATS_NKEY, ORDERBRIDGE_NATS_USER with ORDERBRIDGE_NATS_PASSWORD, or ORDERBRIDGE_NATS_TOKEN"
}

func (o Options) userInURL() bool {
	for one := range strings.SplitSeq(o.URL, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil && u.User != nil {
			return true
		}
	}
	return false
}

// certificateState is the path of the client certificate and until when it is valid.
func (o Options) certificateState() string {
	pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
	if err != nil {
		return o.Cert + ", which cannot be read now: " + err.Error()
	}
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		return o.Cert + ", expired on " + pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	}
	return o.Cert
}

// expiry tells since when the JWT of a credentials file is no longer valid;
// nothing if it is, or if that cannot be told.
func expiry(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ", which cannot be read now: " + err.Error()
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limits.CredsBytes))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		parts := strings.Split(strings.TrimSpace(line), ".")
		if len(parts) != 3 {
			continue
		}
		claims, err := base64.RawURLEncoding.DecodeString(parts[1])
		var c struct {
			Exp int64 `json:"exp"`
		}
		if err != nil || json.Unmarshal(claims, &c) != nil {
			continue
		}
		if at := time.Unix(c.Exp, 0); c.Exp > 0 && time.Now().After(at) {
			return ", expired on " + at.UTC().Format(time.RFC3339)
		}
		return ""
	}
	return ""
}
