package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"runtime/debug"
	"strings"
	"testing"
)

func TestLoggerWritesTheFormatAndKeepsTheLevel(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := Logger(&b, slog.LevelWarn, "json")
	log.Info("not wanted")
	log.Warn("wanted", "subscription_id", "acme")
	var line struct {
		Msg          string `json:"msg"`
		Subscription string `json:"subscription_id"`
	}
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("want one line of JSON, got %q: %v", b.String(), err)
	}
	if line.Msg != "wanted" || line.Subscription != "acme" {
		t.Errorf("got %+v", line)
	}
}

func TestRegistryTellsTheBuild(t *testing.T) {
	t.Parallel()
	families, err := Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		found[f.GetName()] = true
	}
	for _, name := range []string{"orderbridge_build_info", "go_goroutines", "process_resident_memory_bytes"} {
		if !found[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestVersionIsNeverEmpty(t *testing.T) {
	t.Parallel()
	if b := Version(); b.Version == "" || b.Go == "" {
		t.Errorf("got %+v", b)
	}
}

func TestRevisionSaysWhenTheTreeWasChanged(t *testing.T) {
	t.Parallel()
	got := revision([]debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"}})
	if got != "abc-dirty" {
		t.Errorf("got %q", got)
	}
	if got := revision(nil); got != "" {
		t.Errorf("without a repository: got %q", got)
	}
}

// What others wrote does not steer the terminal in which a log is read, nor hide in it.
func TestLogShowsHiddenText(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		Logger(&b, slog.LevelInfo, format).Info("m\u202e", "k\u200b", "v\u202e\u009b31m\x7f\x1b[2J\r\n")
		for _, r := range strings.TrimSuffix(b.String(), "\n") {
			if r < ' ' || r >= 0x7f {
				t.Errorf("%s: %U in %q", format, r, b.String())
			}
		}
	}
}
