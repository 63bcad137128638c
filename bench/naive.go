package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// inFlight is how many requests run at a time in a, b and c.
const inFlight = 64

// newClient has the settings of orderbridge's own transport that concern speed.
func newClient(caFile string) (*http.Client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", caFile)
	}
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: 4096,
		DisableCompression:  true,
	}}, nil
}

func post(ctx context.Context, client *http.Client, url string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return send(client, req)
}

// get sends what a record with method GET sends: the order id, for {orderId}.
func get(ctx context.Context, client *http.Client, pattern string, body []byte) error {
	var event struct{ OrderID string }
	if err := json.Unmarshal(body, &event); err != nil {
		return err
	}
	target := strings.Replace(pattern, "{orderId}", url.PathEscape(event.OrderID), 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	return send(client, req)
}

func send(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return errors.New(resp.Status)
	}
	return nil
}

type naiveSettings struct{ NATS, Stream, URL, CAFile, Method string }

// runNaive is what one writes in an afternoon: no order, no isolation, no
// retries but the server's.
func runNaive(ctx context.Context, s naiveSettings, ready func(any) error) error {
	client, err := newClient(s.CAFile)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(s.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	cons, err := js.CreateOrUpdateConsumer(ctx, s.Stream,
		jetstream.ConsumerConfig{Durable: "naive", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return err
	}
	deliver := post
	if s.Method == http.MethodGet {
		deliver = get
	}
	slots := make(chan struct{}, inFlight)
	var running sync.WaitGroup
	cc, err := cons.Consume(func(m jetstream.Msg) {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if deliver(ctx, client, s.URL, m.Data()) == nil {
				_ = m.Ack()
			}
		})
	})
	if err != nil {
		return err
	}
	if err := ready(struct{}{}); err != nil {
		return err
	}
	<-ctx.Done()
	cc.Stop()
	<-cc.Closed()
	running.Wait()
	return nc.Flush()
}
