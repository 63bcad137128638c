// Peers are other ways from JetStream to a webhook, to be measured beside
// orderbridge by `go run ./bench -peers FILE` (bench/README.md). The module is one
// of its own, so that the project does not depend on what they need.
//
//	watermill  a Watermill router, its NATS subscriber, its HTTP publisher
//	benthos    the Benthos engine, of which Bento is a fork, with its http_client
//	           output; its NATS plugins are not in it, the input is ours
//
// Settings come as one argument, in JSON. It prints one line of JSON when it
// works, and ends with its standard input.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// settings are what all peers are told.
type settings struct {
	NATS, Stream, Subject, URL, CAFile string
	InFlight                           int
}

// peers are run until the context ends; ready is called once they work.
var peers = map[string]func(ctx context.Context, s settings, ready func()) error{
	"watermill": runWatermill,
	"benthos":   runBenthos,
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 3 || peers[os.Args[1]] == nil {
		return fmt.Errorf("usage: peers watermill|benthos SETTINGS")
	}
	var s settings
	if err := json.Unmarshal([]byte(os.Args[2]), &s); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return peers[os.Args[1]](ctx, s, func() { fmt.Println("{}") })
}

// newClient is the client of the naive loop.
func newClient(s settings) (*http.Client, error) {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", s.CAFile)
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 4096,
		DisableCompression:  true,
	}}, nil
}
