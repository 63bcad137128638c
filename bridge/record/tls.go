package record

import (
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// TLS says how the endpoint, and its token server, are verified and what is
// shown to them. The files lie in the tenant's part of the secrets directory
// (CheckFileName).
type TLS struct {
	TrustAll    bool   // every certificate is accepted
	TrustFile   string // PEM or PKCS#12: the authorities, instead of the system's
	ClientCert  string // PEM: the client certificate and its chain; "": they are in KeyFile
	KeyFile     string // PEM or PKCS#12: the key, with or without the certificate
	KeyPassword Secret // of KeyFile, and of TrustFile where that is PKCS#12
	MinVersion  string // "1.2" or "1.3"; "": 1.2

	CipherSuites []string // of TLS 1.2, beside the default ones; see OldCipherSuites
}

func tlsMembers() []member {
	password := secretAt(func(more *More) *Secret {
		if more.TLS == nil {
			return nil
		}
		return &more.TLS.KeyPassword
	})
	return []member{
		{
			name:    "trustAll",
			value:   keep(boolean, (*recordReader).trustAll),
			initial: false,
			about:   "Accept every certificate. Needs the operator's permission.",
			example: `true`,
			also:    "insecure verify",
		},
		{
			name:    "trustFile",
			value:   keep(file, func(r *recordReader, s string) { r.s.More.TLS.TrustFile = s }),
			about:   "PEM or PKCS#12: the authorities that are trusted, instead of the system's.",
			example: `"partner-ca.pem"`,
			also:    "ca cafile",
		},
		{
			name:    "clientCert",
			value:   keep(file, func(r *recordReader, s string) { r.s.More.TLS.ClientCert = s }),
			about:   "PEM: the client certificate and its chain. Left out: they stand in keyFile.",
			example: `"client.pem"`,
			also:    "cert",
		},
		{
			name:    "keyFile",
			value:   keep(file, func(r *recordReader, s string) { r.s.More.TLS.KeyFile = s }),
			about:   "PEM or PKCS#12: the client's key, with the certificate where clientCert is left out.",
			example: `"client-key.pem"`,
		},
		{
			name:    "keyPassword",
			value:   password,
			about:   "Opens keyFile, and a trustFile in PKCS#12. A secret.",
			example: `"env:ORDERBRIDGE_SECRET_KEYPASSWORD"`,
		},
		{
			name:    "minVersion",
			value:   keep(oneOf("1.2", "1.3"), func(r *recordReader, s string) { r.s.More.TLS.MinVersion = s }),
			initial: "1.2",
			about:   "The lowest version of TLS.",
			example: `"1.3"`,
		},
		{
			name: "cipherSuites",
			value: value{
				schema: listSchema(limits.RecordList, fragment{{"enum", OldCipherSuites}}),
				read:   (*recordReader).cipherSuites},
			about: "Cipher suites of TLS 1.2 that are offered beside the default ones, for servers that know " +
				"nothing better.",
		},
	}
}

// trustAll needs a permission.
func (r *recordReader) trustAll(all bool) {
	const field = "tls.trustAll"
	switch {
	case !all:
	case !r.policy.AllowTrustAll:
		r.fail(field, "is true; leave it out, or let the operator permit it with ORDERBRIDGE_ALLOW_TRUST_ALL=true")
	default:
		r.s.More.TLS.TrustAll = true
		r.warn(field, "is true: every certificate is accepted, also that of somebody who listens in between")
	}
}

// OldCipherSuites are what a record may allow beside the default: AES with the
// key exchange by RSA, which keeps no secret of past connections once the
// server's key is known. Names as in RFC 5246 and 5288.
var OldCipherSuites = []string{
	"TLS_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_RSA_WITH_AES_128_CBC_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_RSA_WITH_AES_256_CBC_SHA",
}

func (r *recordReader) cipherSuites(field string, v gjson.Result) {
	names := r.list(field, v, limits.RecordName, func(s string) string {
		switch {
		case slices.Contains(OldCipherSuites, s):
			return ""
		case strings.HasPrefix(s, "TLS_DHE_"):
			return "needs a key exchange by DHE, which this program does not speak; " +
				"let the server offer ECDHE, or one of " + strings.Join(OldCipherSuites, ", ")
		case strings.HasPrefix(s, "TLS_ECDHE_") || strings.HasPrefix(s, "TLS_AES_") || strings.HasPrefix(s, "TLS_CHACHA20_"):
			return "does not have to be allowed: what is safe is offered by default; leave it out"
		}
		return "cannot be allowed; it must be one of " + strings.Join(OldCipherSuites, ", ")
	})
	r.s.More.TLS.CipherSuites = names
	if len(names) > 0 {
		r.warn(field,
			"allows a key exchange without forward secrecy: who learns the server's key later can read what was recorded")
	}
}

func (r *recordReader) checkTLS() {
	if r.s.More == nil || r.s.More.TLS == nil {
		return
	}
	switch t := r.s.More.TLS; {
	case t.TrustAll && t.TrustFile != "":
		r.fail("tls.trustAll", "is true, but trustFile says what to trust; use one of the two")
	case t.ClientCert != "" && t.KeyFile == "":
		r.fail("tls.clientCert", "needs its key; name the file in keyFile")
	case t.KeyPassword != "" && t.KeyFile == "" && t.TrustFile == "":
		r.fail("tls.keyPassword", "has no file to open; give keyFile, or leave it out")
	case len(t.CipherSuites) > 0 && t.MinVersion == "1.3":
		r.fail("tls.cipherSuites", "are of TLS 1.2, but minVersion is 1.3; use one of the two")
	}
}

// tlsRules is what the schema says of several members of tls at once; checkTLS says the same.
var tlsRules = fragment{
	{"dependentRequired", fragment{{"clientCert", []string{"keyFile"}}}},
	{"allOf", []any{
		fragment{
			{"if", fragment{{"required", []string{"keyPassword"}}}},
			{"then", fragment{{"anyOf", []any{fragment{{"required", []string{"keyFile"}}}, fragment{{"required", []string{"trustFile"}}}}}}},
		},
		fragment{
			{"if", given("trustAll", true)},
			{"then", fragment{{"not", fragment{{"required", []string{"trustFile"}}}}}},
		},
		fragment{
			{"if", fragment{{"required", []string{"cipherSuites"}}}},
			{"then", fragment{{"properties", fragment{{"minVersion", fragment{{"const", "1.2"}}}}}}},
		},
	}},
}
