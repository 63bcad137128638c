package publishers

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge"
)

// BenchmarkPublish sends 500 B over TLS on 64 connections: through a Webhook with
// either client, and with nothing but an http.Client. The receiver is in the same process and
// takes its share of the time. Run it with -count, and compare medians.
func BenchmarkPublish(b *testing.B) {
	var requests atomic.Int64
	server := receiver(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests.Add(1)
	})
	body := []byte(`{"orderId":"4711","filler":"` + strings.Repeat("x", 470) + `"}`)
	const connections = 64

	run := func(b *testing.B, attempt func() error) {
		b.Helper()
		b.ReportAllocs()
		var left atomic.Int64
		left.Store(int64(b.N))
		before := cpuTime()
		b.ResetTimer()
		var group sync.WaitGroup
		for range connections {
			group.Go(func() {
				for left.Add(-1) >= 0 {
					if err := attempt(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
	}
	// The same request: the receiver's work is part of what is measured.
	headers := [][2]string{
		{"User-Agent", "orderbridge/test"}, {"Content-Type", "application/json"}, {"Webhook-Id", "wsirmic63uprt6n7g4jomvniexzlkm5x"}, {"Idempotency-Key", "wsirmic63uprt6n7g4jomvniexzlkm5x"},
		{"Webhook-Timestamp", "1772366400"}, {"X-Attempt", "1"}, {"X-Order-Id", "4711"}, {"X-Event-Type", "OrderAccepted"},
	}
	b.Run("client", func(b *testing.B) {
		client := bareClient(b)
		run(b, func() error {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL, bytes.NewReader(body))
			if err != nil {
				return err
			}
			for _, h := range headers {
				req.Header.Set(h[0], h[1])
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			return resp.Body.Close()
		})
	})
	webhook := func(b *testing.B, netHTTP bool) {
		b.Helper()
		w := newWebhook(b, func(o *Options) { o.NetHTTP = netHTTP })
		d := delivery(server.URL)
		d.Event.Data = body
		ctx := bridge.WithDelivery(context.Background(), d)
		run(b, func() error {
			m := message.NewMessage("id", body)
			m.SetContext(ctx)
			return w.Publish("erp", m)
		})
	}
	b.Run("webhook", func(b *testing.B) { webhook(b, false) })
	b.Run("webhook by net/http", func(b *testing.B) { webhook(b, true) })
}

// cpuTime of this process: steadier than the wall clock where others work too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func bareClient(b *testing.B) *http.Client {
	b.Helper()
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: testCA(b).Pool()},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
	}}
}

// BenchmarkRender is the part of an attempt that is ours.
func BenchmarkRender(b *testing.B) {
	d := delivery("https://erp.example.com/orders/{orderId}")
	e, err := compileEndpoint(d.Subscription, &sources{})
	if err != nil {
		b.Fatal(err)
	}
	userAgent := "orderbridge/test"
	b.ReportAllocs()
	for b.Loop() {
		r, err := e.render(d, userAgent, noon)
		if err != nil {
			b.Fatal(err)
		}
		r.http(context.Background())
	}
}
