// Sample is what compose.yaml needs beside the bridge: certificates for a
// trial, and a receiver that prints what arrives.
//
//	sample certificates DIR   an authority, what it issues and a token of the API, unless they are there
//	sample receive            answer 204 to everything on :8443
//
// It is not part of the image of orderbridge.
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"orderbridge/internal/localca"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "sample: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "certificates":
		return certificates(args[1])
	case len(args) == 1 && args[0] == "receive":
		return receive(ctx, "tls/receiver.crt", "tls/receiver.key", ":8443")
	}
	return errors.New("usage: sample certificates DIR | sample receive")
}

// issued are the certificates by file name: two for servers, the others for
// the users of deploy/nats/accounts.conf, known by their DNS name.
var issued = map[string][]string{
	"nats":      {"nats-1", "nats-2", "nats-3", "localhost", "127.0.0.1"},
	"receiver":  {"receiver", "localhost", "127.0.0.1"},
	"bridge":    {"bridge"},
	"manager":   {"manager"},
	"operator":  {"operator"},
	"auditor":   {"auditor"},
	"publisher": {"publisher"},
}

const validity = 365 * 24 * time.Hour

func certificates(path string) error {
	const authority = "ca.crt"
	dir, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	if _, err := dir.Stat(authority); err == nil {
		return nil
	}
	ca, err := localca.New(validity)
	if err != nil {
		return err
	}
	for name, hosts := range issued {
		issued, err := ca.Issue(hosts...)
		if err != nil {
			return err
		}
		cert, key, err := localca.PEMPair(issued)
		if err != nil {
			return err
		}
		if err := dir.WriteFile(name+".crt", cert, 0o600); err != nil {
			return err
		}
		if err := dir.WriteFile(name+".key", key, 0o600); err != nil {
			return err
		}
	}
	if err := dir.WriteFile("api-tokens", []byte("trial:"+rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	// Last: who sees it finds the others.
	return dir.WriteFile(authority, ca.PEM(), 0o600)
}

func receive(ctx context.Context, certFile, keyFile, listen string) error {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	server := &http.Server{
		Addr: listen, Handler: http.HandlerFunc(answer), MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() {
		bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(bound) // what is cut off is sent again
	})
	defer stop()
	fmt.Printf("receiving on %s\n", listen)
	if err := server.ListenAndServeTLS("", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		return // the answer says it: too large, or cut off
	}
	w.WriteHeader(http.StatusNoContent)
	fmt.Printf("%s %s %q attempt %s id %s %.200q\n", time.Now().UTC().Format(time.RFC3339), r.Method, r.RequestURI,
		r.Header.Get("X-Attempt"), r.Header.Get("Webhook-Id"), body)
}
