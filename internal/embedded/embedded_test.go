package embedded

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/bus"
	"orderbridge/internal/lab"
)

func connect(t *testing.T, o bus.Options) jetstream.JetStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), lab.Patience)
	defer cancel()
	nc, err := bus.Connect(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestServer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dir := t.TempDir()
	s, err := Start(Options{Dir: dir, Listen: "127.0.0.1:0", Sync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	inside := connect(t, bus.Options{InProcess: s})
	outside := connect(t, bus.Options{URL: s.URL()})
	if _, err := inside.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Publish(ctx, "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v", err)
	}
	s.Stop()
	again, err := Start(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	if again.URL() != "" {
		t.Errorf("listens at %s", again.URL())
	}
	stream, err := connect(t, bus.Options{InProcess: again}).Stream(ctx, "S")
	if err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("after a restart: %v", err)
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	s, err := Start(Options{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	taken := strings.TrimPrefix(s.URL(), "nats://")
	for name, o := range map[string]Options{
		"no directory":   {},
		"not an address": {Dir: t.TempDir(), Listen: "4222"},
		"bad port":       {Dir: t.TempDir(), Listen: "127.0.0.1:x"},
		"taken":          {Dir: t.TempDir(), Listen: taken},
	} {
		if s, err := Start(o); err == nil {
			s.Stop()
			t.Errorf("%s: started", name)
		} else if name == "taken" && !strings.Contains(err.Error(), taken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
