package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"orderbridge/config"
	"orderbridge/internal/bus"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// A record that somebody changes, deletes or makes between the look at it and the
// write is left alone and named; the others are written, and nothing is deleted.
func TestApplyLeavesAloneWhatOthersChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	b := lab.ListenBus(t)
	if _, _, err := store.Ensure(ctx, b.JetStream(), store.Options{}); err != nil {
		t.Fatal(err)
	}
	cfg := &config.Config{}
	cfg.NATS.URL = config.Servers(b.URL())
	s, err := connect(ctx, cfg, slog.New(slog.DiscardHandler), bus.NewDenials("", func(error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.nc.Close()
	put := func(id, record string) {
		t.Helper()
		if _, err := s.catalog.Put(ctx, store.Everything(), id, []byte(record), store.AnyRevision); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"changed", "deleted", "free", "same", "pruned"} {
		put(id, `{"targetURL":"https://h.example.com/`+id+`"}`)
	}
	dir := t.TempDir()
	for _, id := range []string{"changed", "deleted", "free", "made", "same", "new"} {
		method := "PUT"
		if id == "same" {
			method = "POST"
		}
		text := "targetURL: https://h.example.com/" + id + "\nmethod: " + method + "\n"
		if id == "same" {
			text = "targetURL: https://h.example.com/same\n"
		}
		if err := os.WriteFile(filepath.Join(dir, id+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := newSubscriptionsApply()
	var said strings.Builder
	cmd.SetContext(ctx)
	cmd.SetOut(io.Discard)
	cmd.SetErr(&said)
	p, err := s.plan(ctx, cmd, []string{dir}, applyFlags{prune: true, most: 20, choice: recordChoice{all: true}})
	if err != nil {
		t.Fatal(err, said.String())
	}
	put("changed", `{"targetURL":"https://h.example.com/by-somebody-else"}`)
	put("made", `{"targetURL":"https://h.example.com/by-somebody-else"}`)
	if err := s.catalog.Remove(ctx, store.Everything(), "deleted", store.AnyRevision); err != nil {
		t.Fatal(err)
	}
	s.carryOut(ctx, p)
	got := map[string]result{}
	for _, c := range p.Changes {
		got[c.ID] = c.Result
	}
	for id, want := range map[string]result{"changed": conflict, "deleted": conflict, "made": conflict, "free": done, "new": done,
		"pruned": untried} {
		if got[id] != want {
			t.Errorf("%s: %q, want %q", id, got[id], want)
		}
	}
	if s := p.Summary; s.Created != 1 || s.Changed != 1 || s.Deleted != 0 || s.Failed != 4 || s.Unchanged != 1 {
		t.Errorf("the summary is %+v", s)
	}
	if err := p.failure(cmd); err == nil || !strings.Contains(said.String(), "changed: conflict: somebody else has changed it") ||
		!strings.Contains(said.String(), "1 record not tried") {
		t.Errorf("said %v\n%s", err, said.String())
	}
	for id, want := range map[string]string{"changed": "by-somebody-else", "made": "by-somebody-else", "free": "PUT", "pruned": "pruned"} {
		r, err := s.catalog.Record(context.Background(), store.Everything(), id)
		if err != nil || !strings.Contains(string(r.Value), want) {
			t.Errorf("%s is %s, %v", id, r.Value, err)
		}
	}
}
