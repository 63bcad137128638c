package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// image is a container of the image that `make image-test` has built.
type image struct {
	t    testing.TB
	tool []string // podman or docker, with its flags
	name string
	args []string // of each run
}

// container runs the tool and returns what it printed.
func (i *image) container(args ...string) (string, error) {
	i.t.Helper()
	ctx, cancel := patiently(0)
	defer cancel()
	out, err := exec.CommandContext(ctx, i.tool[0], append(i.tool[1:], args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (i *image) must(args ...string) string {
	i.t.Helper()
	out, err := i.container(args...)
	if err != nil {
		i.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// start runs the image until it leads, by its own health check.
func (i *image) start() {
	i.t.Helper()
	i.must(append([]string{"run", "--detach", "--name", i.name}, i.args...)...)
	await(i.t, 60*time.Second, "the container is ready", func() bool {
		_, err := i.container("exec", i.name, "/orderbridge", "healthcheck")
		return err == nil
	})
}

// end waits for the end, returns the exit code and removes the container.
func (i *image) end() string {
	i.t.Helper()
	code := i.must("wait", i.name)
	i.must("rm", i.name)
	return code
}

func freeAddress(t testing.TB) string {
	t.Helper()
	address, err := lab.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// TestImage runs the image as `make image-test` has built it: as nobody, on a
// read-only root, without any capability, its bus and its data in a volume, an
// endpoint with TLS on the host; it is stopped and killed in mid-flow.
func TestImage(t *testing.T) {
	name := os.Getenv("ORDERBRIDGE_TEST_IMAGE")
	if name == "" {
		t.Skip("ORDERBRIDGE_TEST_IMAGE is not set; `make image-test` sets it")
	}
	ca := lab.CA()
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.PEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("orderbridge-test-%d", os.Getpid())
	bus := freeAddress(t)
	i := &image{t: t, tool: strings.Fields(os.Getenv("ORDERBRIDGE_TEST_CONTAINER")), name: id}
	i.args = append([]string{"--network", "host", "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"},
		strings.Fields(os.Getenv("ORDERBRIDGE_TEST_LIMITS"))...)
	if strings.HasPrefix(filepath.Base(i.tool[0]), "podman") {
		i.args = append(i.args, "--read-only-tmpfs=false")
	}
	i.args = append(i.args, "--volume", id+":/data", "--volume", roots+":/run/secrets/roots.pem:ro",
		"--env", "ORDERBRIDGE_NATS_LISTEN="+bus, "--env", "ORDERBRIDGE_EMBEDDED_AUTH=open", "--env", "ORDERBRIDGE_HTTP_LISTEN="+freeAddress(t),
		"--env", "ORDERBRIDGE_TRUST_ROOTS=/run/secrets/roots.pem", "--env", "ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8", name)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := i.container("logs", "--tail", "50", id)
			t.Log(out)
		}
		_, _ = i.container("rm", "--force", id) // it may be gone
		_, _ = i.container("volume", "rm", id)
	})

	inspected := i.must("image", "inspect", "--format", "{{.Config.User}} {{.Config.Entrypoint}} {{.Config.Healthcheck}} {{.Config.Labels}}", name)
	for _, want := range []string{"65532:65532 [/orderbridge]", "/orderbridge healthcheck", "org.opencontainers.image.version:", "org.opencontainers.image.revision:", "org.opencontainers.image.licenses:Apache-2.0"} {
		if !strings.Contains(inspected, want) {
			t.Errorf("the image lacks %q: %s", want, inspected)
		}
	}

	i.start()
	e := receive(t, shaky)
	js := jetStream(t, "nats://"+bus)
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 200, 8)

	e.came(t, 200)
	i.must("stop", "--time", "120", id)
	if code := i.end(); code != "0" {
		t.Fatalf("exit code %s after SIGTERM", code)
	}
	at := e.Count()
	i.start()
	e.came(t, at+200)

	crash := time.Now()
	i.must("kill", "--signal", "KILL", id)
	i.end()
	at = e.Count()
	i.start()
	e.came(t, at+200)
	f.arrives(t, e)
	recent(t, f.check(t, e), crash)
	acknowledged(t, js, uint64(f.end()))
	i.must("stop", "--time", "120", id)
	if code := i.end(); code != "0" {
		t.Errorf("exit code %s after SIGTERM", code)
	}
}
