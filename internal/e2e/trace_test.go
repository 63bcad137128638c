package e2e

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// A leader writes what its flight recorder keeps when it is asked to; the
// program steps through it and comes to the same; nothing secret is in it.
func TestTraceOfALeader(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	tmp := t.TempDir()
	leader := serving(t, bus.URL(), "TMPDIR="+tmp)
	other := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), "TMPDIR="+tmp)
	other.said(20*time.Second, `msg="standing by"`)
	good, bad := receive(t, nil), receive(t, lab.Always(http.StatusServiceUnavailable))
	subscribe(t, js, "acme", `{"targetURL":"`+good.URL+`/s3cr3t-path?s3cr3t=query","headers":{"Authorization":"Bearer s3cr3t-header"},"secret":"s3cr3t-signing-secret-of-acme"}`)
	subscribe(t, js, "other", recordFor(bad, slowRetries))
	for n := range 20 {
		m := change("a", n+1)
		m.Header.Set("X-Own", "s3cr3t-event-header")
		m.Data = []byte(strings.Replace(string(m.Data), "{", `{"card":"s3cr3t-payload",`, 1))
		publishMsg(t, js, m)
	}
	good.came(t, 20)
	bad.came(t, 1)
	publishOne(t, js, "b", 1) // now that its status is confirmed, an event is taken for it for certain
	bad.came(t, 2)
	await(t, 20*time.Second, "an order is held", func() bool { return len(owedKeys(t, js)) > 0 })

	other.Signal(syscall.SIGUSR1)
	other.said(10*time.Second, `msg="no trace is written[^\n]*this replica does not lead`)
	leader.Signal(syscall.SIGUSR1)
	file := leader.said(10*time.Second, `msg="trace written[^\n]* file=(\S+)`)
	if !strings.HasPrefix(file, tmp) {
		t.Errorf("it was written to %s", file)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: %v", info.Mode(), err)
	}
	text := unzipped(t, file)
	for _, secret := range []string{"s3cr3t", "127.0.0.1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the file", secret)
		}
	}

	out, code := command(t, "", "", "debug", "trace", file)
	for _, want := range []string{"by build devel", "from the start of the term", "EventTaken Event.Seq=1 ", "-> StartAttempt Attempt=1 ", "AttemptEnded Attempt=1", "EntryWritten"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if code != exitGood || strings.Contains(out, "DIFFERS") || strings.Contains(out, "s3cr3t") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	out, _ = command(t, "", "", "debug", "trace", file, "--only", "other", "-o", "json")
	steps := json.NewDecoder(strings.NewReader(out))
	var kinds []string
	for {
		var step struct {
			Step    int
			Input   map[string]string
			Outputs []map[string]string
		}
		if err := steps.Decode(&step); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, step.Input["kind"])
	}
	for _, want := range []string{"RecordSeen", "EventTaken", "AttemptEnded", "EntryWritten"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("no %s among the steps of a subscription: %v", want, kinds)
		}
	}
	out, _ = command(t, "", "", "debug", "trace", file, "--from", "3", "--to", "4")
	if n := len(regexp.MustCompile(`(?m)^\d+  `).FindAllString(out, -1)); n != 2 {
		t.Errorf("%d steps instead of two:\n%s", n, out)
	}
	out, code = command(t, "", "", "debug", "trace", os.Args[0])
	if code != exitFailed || !strings.Contains(out, "not a trace") {
		t.Errorf("exit %d: %s", code, out)
	}
	leader.stop()
	other.stop()
}

func unzipped(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
