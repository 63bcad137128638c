package bus

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
)

func TestConnectWaitsForTheBus(t *testing.T) {
	t.Parallel()
	b := lab.ListenBus(t)
	p := b.Proxy()
	p.Refuse(true)
	time.AfterFunc(300*time.Millisecond, func() { p.Refuse(false) })
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	nc, err := Connect(ctx, Options{URL: p.URL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// What cannot be sent now is refused, not kept for later.
	p.Refuse(true)
	lab.Eventually(t, "disconnected", func() bool { return !nc.IsConnected() })
	if err := nc.Publish("x", nil); err == nil {
		t.Error("published while disconnected")
	}
	p.Refuse(false)
	lab.Eventually(t, "connected", nc.IsConnected)
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Username: "u", Password: "right"})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(lab.Patience) {
		t.Fatal("not ready")
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		o    Options
		want string
	}{
		"no url":         {Options{}, "no NATS URL"},
		"wrong password": {Options{URL: s.ClientURL(), User: "u", Password: "wr0ng"}, "uthorization"},
		"nobody there":   {Options{URL: "nats://me:wr0ng@127.0.0.1:1?token=wr0ng"}, "127.0.0.1:1"},
		"creds":          {Options{URL: s.ClientURL(), Creds: "/none"}, "/none"},
		"nkey":           {Options{URL: s.ClientURL(), NkeyFile: empty}, empty},
		"ca":             {Options{URL: s.ClientURL(), CA: empty}, empty},
		"cert":           {Options{URL: s.ClientURL(), Cert: empty, Key: empty}, empty},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.o.Logger = slog.New(slog.DiscardHandler)
			var err error
			for patience := 2 * time.Second; patience < lab.Patience; patience *= 3 { // a slow machine needs more
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				var nc *nats.Conn
				nc, err = Connect(ctx, tt.o)
				cancel()
				if err == nil {
					nc.Close()
					t.Fatal("connected")
				}
				if strings.Contains(err.Error(), tt.want) {
					break
				}
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "wr0ng") {
				t.Error(err)
			}
		})
	}
	nc, err := Connect(context.Background(), Options{URL: s.ClientURL(), User: "u", Password: "right"})
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
}
