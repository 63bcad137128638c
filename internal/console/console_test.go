package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"orderbridge/internal/lab"
)

func get(t *testing.T, path string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	ServeHTTP(w, r)
	return w
}

// Each document and all that it names is served whole, packed and for ever, and
// all of it together is small.
func TestServe(t *testing.T) {
	t.Parallel()
	seen := map[string]int{} // bytes as they go over the wire
	for _, at := range documents {
		page := get(t, at)
		if page.Code != 200 || page.Header().Get("Cache-Control") != "no-cache" || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") {
			t.Fatalf("%s: %d %v", at, page.Code, page.Header())
		}
		policy := page.Header().Get("Content-Security-Policy")
		if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %s", at, policy)
		}
		seen[at] = len(files[at].packed)
		names := regexp.MustCompile(`(?:src|rel="(?:icon|stylesheet)".* href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
		if len(names) < 3 {
			t.Fatalf("%s names %q", at, names)
		}
		for _, name := range names {
			seen["/"+name[1]] = asset(t, "/"+name[1]) // relative: it holds behind any prefix
		}
	}
	all := 0
	for _, n := range seen {
		all += n
	}
	if len(seen) != len(files) || all > 150<<10 {
		t.Errorf("%d bytes in all, of %v; there are %d files", all, seen, len(files))
	}
	t.Logf("%d bytes in all: %v", all, seen)
	if Has("/console.js") || Has("/index.html") || Has("/../console.go") || Has("/api/v1/statuses") || Has(DocsPath) {
		t.Error("it answers for what is not its")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", nil)
	w := httptest.NewRecorder()
	if ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", w.Code)
	}
}

// asset holds one that a document names, and returns its bytes as it is packed.
func asset(t *testing.T, path string) int {
	t.Helper()
	kinds := map[string]string{".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
	if !Has(path) {
		t.Fatalf("there is no %s", path)
	}
	plain, packed := get(t, path), get(t, path, "Accept-Encoding", "br, gzip;q=0.5")
	h := packed.Header()
	if !strings.HasPrefix(h.Get("Content-Type"), kinds[filepath.Ext(path)]) || !strings.Contains(h.Get("Cache-Control"), "immutable") ||
		h.Get("Content-Encoding") != "gzip" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: %v", path, h)
	}
	size := packed.Body.Len()
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(z); err != nil || !bytes.Equal(body, plain.Body.Bytes()) {
		t.Errorf("%s is another one when it is packed: %v", path, err)
	}
	if again := get(t, path, "Accept-Encoding", "gzip", "If-None-Match", h.Get("Etag")); again.Code != http.StatusNotModified {
		t.Errorf("%s is answered again: %d", path, again.Code)
	}
	return size
}

// What is committed is what the sources make, byte for byte.
func TestBuiltFromSources(t *testing.T) {
	t.Parallel()
	node := lab.NodeWith(t, "ui", "esbuild")
	dir := t.TempDir()
	for _, args := range [][]string{{"build.mjs", dir}, {"node_modules/typescript/bin/tsc", "--noEmit"}} {
		c := exec.CommandContext(t.Context(), node, args...)
		c.Dir = "ui"
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
	built, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadDir("dist")
	if err != nil || len(built) != len(committed) {
		t.Errorf("%d files are built, %d committed: %v", len(built), len(committed), err)
	}
	for _, f := range built {
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join("dist", f.Name())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("dist/%s is not what the sources make: run make console (%v)", f.Name(), err)
		}
	}
}

// The sentence of the overview is true of 0, 1 and many in each state, and a browser
// whose clock is wrong tells the bridge's time.
func TestUnits(t *testing.T) {
	t.Parallel()
	c := exec.CommandContext(t.Context(), lab.NodeWith(t, "ui", "esbuild"), "story/units.mjs")
	c.Dir = "ui"
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
