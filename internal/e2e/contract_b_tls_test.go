package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/localca"
)

// own starts an endpoint whose certificate comes from an authority that only
// the test knows.
func own(t *testing.T, host string, clients *x509.CertPool, auth tls.ClientAuthType) (*receiver, *localca.CA) {
	t.Helper()
	ca, err := lab.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(host)
	if err != nil {
		t.Fatal(err)
	}
	return receiveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: clients, ClientAuth: auth}, nil), ca
}

func TestContractB8TrustsEveryCertificate(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e, _ := own(t, "somebody.else.example", nil, tls.NoClientCert)
	p, _ := automated(t, bus.URL(), `{"enabled":true,"endpoint":"`+e.URL+`"}`, "ORDERBRIDGE_ALLOW_TRUST_ALL=true")
	happened(t, js, "OrderAccepted", "1")
	e.came(t, 1)
	p.said(time.Second, `level=WARN .*(every certificate is accepted)`)
	status, _ := verdict(t, js, "automation", 0, protocol.StateActive)
	if !strings.Contains(record.Problems(status.Warnings).Error(), "every certificate is accepted") {
		t.Errorf("the status warns of %v", status.Warnings)
	}
}

func TestContractB9RefusesUnknownIssuersAndWrongNames(t *testing.T) {
	t.Parallel()
	ca := lab.CA()
	wrong, err := ca.Issue("somebody.else.example")
	if err != nil {
		t.Fatal(err)
	}
	unknown, _ := own(t, "127.0.0.1", nil, tls.NoClientCert)
	for name, e := range map[string]*receiver{
		"unknown issuer":  unknown,
		"wrong host name": receiveTLS(t, &tls.Config{Certificates: []tls.Certificate{wrong}}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			p, _ := automated(t, bus.URL(), `{"enabled":true,"endpoint":"`+e.URL+`","useSslTrustAll":false}`, "ORDERBRIDGE_ALLOW_TRUST_ALL=true")
			happened(t, js, "OrderAccepted", "1")
			verdict(t, js, "automation", 0, protocol.StateRetrying)
			p.said(20*time.Second, `reason="[^"]*(certificate)`)
			if e.Count() != 0 {
				t.Errorf("%d requests came through", e.Count())
			}
		})
	}
}

// writeClient makes a client certificate and writes it with its encrypted key,
// as client.pem and client.p12; it returns the authority of it.
func writeClient(t testing.TB, dir, password string) *localca.CA {
	t.Helper()
	ca, err := lab.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	client, err := ca.Issue("client")
	if err != nil {
		t.Fatal(err)
	}
	der, err := lab.EncryptedKey(client.PrivateKey, password)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: client.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})...)
	p12, err := pkcs12.Modern2023.Encode(client.PrivateKey, client.Leaf, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"client.pem": text, "client.p12": p12} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ca
}

func TestContractB10PresentsTheClientCertificate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"client.pem", "client.p12", "an absolute path"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			e, server := own(t, "127.0.0.1", writeClient(t, dir, "hunter2").Pool(), tls.RequireAndVerifyClientCert)
			if err := os.WriteFile(filepath.Join(dir, "trust.pem"), server.PEM(), 0o600); err != nil {
				t.Fatal(err)
			}
			key := kind
			if strings.Contains(kind, " ") {
				key = filepath.Join(dir, "client.p12")
			}
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			p, _ := automated(t, bus.URL(), `{"enabled":true,"endpoint":"`+e.URL+`","useSslTrustAll":false,"useSslClientCert":true,"sslTrustFile":"trust.pem","sslKeyFile":"`+key+`","sslKeyPassword":"hunter2"}`,
				"ORDERBRIDGE_SECRETS_DIR="+dir)
			happened(t, js, "OrderAccepted", "1")
			if h := e.came(t, 1); h.Clients != 1 {
				t.Errorf("%d client certificates were shown", h.Clients)
			}
			if strings.Contains(p.Output(), "hunter2") {
				t.Error("the password is in the log")
			}
		})
	}
}

func TestContractB11VerifiesAgainstTheKeyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e, server := own(t, "127.0.0.1", nil, tls.RequestClientCert)
	other, _ := own(t, "127.0.0.1", nil, tls.RequestClientCert)
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), server.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	section := `{"enabled":true,"endpoint":"%s","useSslTrustAll":false,"useSslClientCert":false,"sslKeyFile":"key.pem","sslKeyPassword":"hunter2"}`
	p, path := automated(t, bus.URL(), fmt.Sprintf(section, e.URL), "ORDERBRIDGE_SECRETS_DIR="+dir)
	happened(t, js, "OrderAccepted", "1")
	if h := e.came(t, 1); h.Clients != 0 {
		t.Errorf("%d client certificates were shown", h.Clients)
	}
	automationFile(t, path, fmt.Sprintf(section, other.URL))
	p.said(20*time.Second, `record stored.*revision=(2)`)
	verdict(t, js, "automation", 2, protocol.StateActive) // from now on the new endpoint counts
	happened(t, js, "OrderAccepted", "2")
	verdict(t, js, "automation", 0, protocol.StateRetrying)
	if other.Count() != 0 {
		t.Error("a server that the key file does not know got a request")
	}
}
