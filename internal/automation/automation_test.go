package automation

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

func write(t testing.TB, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "automation.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var permitted = record.Policy{AllowHTTP: true, AllowTrustAll: true}

// TestContractBRecord: what becomes of the keys.
func TestContractBRecord(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const endpoint = `"enabled":true,"endpoint":"https://www.example.org/automation"`
	for _, c := range []struct{ name, section, member, want string }{
		{"B4 method", endpoint, "method", `"POST"`},
		{"B4 payload", endpoint, "payload", `"notification"`},
		{"B12 events", endpoint, "eventTypes", `["OrderCreated","OrderAccepted","OrderSigned","OrderRejected","OrderCanceled","OrderExpired","OrderDueDateUpdated"]`},
		{"B5 endpoint as given", endpoint, "targetURL", `"https://www.example.org/automation"`},
		{"B5 no key", endpoint, "key", ""},
		{"B5 key", endpoint + `,"key":"<a&b>"`, "key", `"<a&b>"`},
		{"B6 default", endpoint, "connectionTimeout", `"PT30S"`},
		{"B6 default of the whole", endpoint, "timeout", `"PT30S"`},
		{"B6 PT60S", endpoint + `,"connectionTimeout":"PT60S"`, "connectionTimeout", `"PT60S"`},
		{"B6 PT60S for the whole", endpoint + `,"connectionTimeout":"PT60S"`, "timeout", `"PT60S"`},
		{"B6 PT1M", endpoint + `,"connectionTimeout":"PT1M"`, "connectionTimeout", `"PT1M"`},
		{"B6 PT0.5S", endpoint + `,"connectionTimeout":"PT0.5S"`, "connectionTimeout", `"PT0.5S"`},
		{"B6 PT0.5S is not for the answer", endpoint + `,"connectionTimeout":"PT0.5S"`, "timeout", `"PT30S"`},
		{"B6 PT1M30S", endpoint + `,"connectionTimeout":"PT1M30S"`, "timeout", `"PT1M30S"`},
		{"B7 secret", endpoint + `,"secret":"HeaderSecret"`, "secret", `"HeaderSecret"`},
		{"B7 no secret", endpoint, "secret", ""},
		{"B8 no ssl key", endpoint, "tls", `{"trustAll":true}`},
		{"B8 http needs none", `"enabled":true,"endpoint":"http://www.example.org/automation"`, "tls", ""},
		{"B8 asked for", endpoint + `,"useSslTrustAll":true`, "tls", `{"trustAll":true}`},
		{"B8 with a client certificate", endpoint + `,"useSslTrustAll":true,"useSslClientCert":true,"sslKeyFile":"k"`, "tls", `{"trustAll":true,"keyFile":"k"}`},
		{"B9", endpoint + `,"useSslTrustAll":false`, "tls", ""},
		{"B10", endpoint + `,"useSslTrustAll":false,"useSslClientCert":true,"sslTrustFile":"t","sslKeyFile":"k","sslKeyPassword":"p"`, "tls", `{"trustFile":"t","keyFile":"k","keyPassword":"p"}`},
		{"B10 path in the secrets directory", endpoint + `,"useSslClientCert":true,"sslKeyFile":"` + dir + `/k"`, "tls", `{"keyFile":"k"}`},
		{"B10 path beside the file", endpoint + `,"useSslClientCert":true,"sslKeyFile":"./k"`, "tls", `{"keyFile":"k"}`},
		{"B11", endpoint + `,"useSslTrustAll":false,"useSslClientCert":false,"sslKeyFile":"k","sslKeyPassword":"p"`, "tls", `{"trustFile":"k","keyPassword":"p"}`},
		{"B11 and a trust file", endpoint + `,"useSslClientCert":false,"sslKeyFile":"k","sslTrustFile":"t"`, "tls", `{"trustFile":"t"}`},
	} {
		f, err := Open(Options{Path: write(t, dir, `{"webHook":{`+c.section+`}}`), ID: "automation", SecretsDir: dir, Policy: permitted, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(f.want.json(), &members); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(members[c.member])); diff != "" {
			t.Errorf("%s: %s:\n%s", c.name, c.member, diff)
		}
	}
}

func TestFingerprintHoldsNoSecret(t *testing.T) {
	t.Parallel()
	version := func(section string) string {
		f, err := Open(Options{Path: write(t, t.TempDir(), `{"webHook":{"enabled":true,"endpoint":"https://h/"`+section+`}}`), ID: "automation", Policy: permitted, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return f.want.Labels[label]
	}
	if version(`,"secret":"a","key":"b"`) != version(`,"secret":"c","key":"d"`) {
		t.Error("the label of the record depends on a secret")
	}
	if version(``) == version(`,"connectionTimeout":"PT1M"`) {
		t.Error("the label of the record does not tell versions apart")
	}
}

func TestFileIsBounded(t *testing.T) {
	t.Parallel()
	_, err := Open(Options{Path: write(t, t.TempDir(), `{"x":"`+strings.Repeat("x", limits.AutomationFileBytes)+`"}`), ID: "automation"})
	if err == nil || !strings.Contains(err.Error(), "more than 1024 KiB") {
		t.Errorf("a large file: %v", err)
	}
	if _, err := Open(Options{Path: t.TempDir(), ID: "automation"}); err == nil {
		t.Error("a directory is not a file")
	}
	if _, err := Open(Options{Path: write(t, t.TempDir(), "\xef\xbb\xbf{}"), ID: "automation"}); err != nil {
		t.Errorf("a byte order mark: %v", err)
	}
}

// TestReplicasStoreOnce: of many that store the same file at once one does.
func TestReplicasStoreOnce(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "subscriptions", History: 8})
	if err != nil {
		t.Fatal(err)
	}
	records := store.NewRecords(js, "subscriptions", nil)
	dir := t.TempDir()
	open := func(text string) *File {
		f, err := Open(Options{Path: write(t, dir, text), ID: "automation", Policy: permitted, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for round := range 3 {
		var wg sync.WaitGroup
		for range 8 {
			f := open(fmt.Sprintf(`{"webHook":{"enabled":true,"endpoint":"https://h/%d"}}`, round))
			wg.Go(func() {
				if _, err := f.Apply(t.Context(), records, false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		e, err := kv.Get(t.Context(), "automation")
		if err != nil || e.Revision() != uint64(round+1) {
			t.Fatalf("revision %d, %v; want %d", e.Revision(), err, round+1)
		}
	}
	// A record that is deleted comes again with the next start.
	if err := kv.Delete(t.Context(), "automation"); err != nil {
		t.Fatal(err)
	}
	if c, err := open(`{"webHook":{"enabled":true,"endpoint":"https://h/3"}}`).Apply(t.Context(), records, false); err != nil || c.What != Stored {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := open(`{}`).Apply(t.Context(), records, false); err != nil || c.What != Deactivated {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := open(`{}`).Apply(t.Context(), records, false); err != nil || c.What != Absent {
		t.Errorf("%+v, %v", c, err)
	}
	e, err := kv.Get(t.Context(), "automation")
	if err != nil {
		t.Fatal(err)
	}
	if s, problems := record.Parse("automation", e.Value(), permitted); s == nil || !s.Inactive {
		t.Errorf("deactivated: %s, %v", e.Value(), problems)
	}
}

// FuzzSection: no file makes the reader panic; what it accepts makes a record
// that the bridge can read.
func FuzzSection(f *testing.F) {
	for _, seed := range []string{`{}`, `{"webHook":{"enabled":true,"endpoint":"https://h/x","key":"k","useSslClientCert":false,"sslKeyFile":"k"}}`,
		`{"webHook":{"enabled":1}}`, `{"webHook":null,"webhook":{}}`, `{"a":[{"webHook":{}}]}`, `[]`, `{"webHook":{"":""}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &File{o: Options{Path: "a.json", ID: "automation", Policy: permitted, Logger: slog.New(slog.DiscardHandler)}}
		start := time.Now()
		want, _, err := file.read(data)
		lab.Promise(t, "reading a file", time.Since(start), 5*time.Second)
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Fatalf("%q: %v", data, err)
		}
		if want == nil {
			return
		}
		if s, problems := record.Parse("automation", want.json(), permitted); s == nil {
			t.Fatalf("%q makes %s: %v", data, want.json(), problems)
		}
	})
}
