package deploytest

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// compose.yaml holds to the specification, names no setting that does not
// exist and publishes nothing beyond this machine. `make compose-test` runs it.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithProfiles([]string{"*"}), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	settings := regexp.MustCompile("(?m)^\\| `(ORDERBRIDGE_[A-Z0-9_]+)`").FindAllStringSubmatch(readFile(t, "../../README.md"), -1)
	for name, s := range project.Services {
		for variable := range s.Environment {
			if strings.HasPrefix(variable, "ORDERBRIDGE_") && !slices.ContainsFunc(settings, func(s []string) bool { return s[1] == variable }) {
				t.Errorf("%s: %s is not a setting", name, variable)
			}
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the network", name, p.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == "bind" && !strings.HasPrefix(v.Source, absolute(t, "../nats")) {
				t.Errorf("%s mounts %s", name, v.Source)
			}
		}
		if strings.HasPrefix(name, "bridge-") && (!s.ReadOnly || !slices.Contains(s.CapDrop, "ALL")) {
			t.Errorf("%s may do too much", name)
		}
	}
	for _, name := range []string{"nats-1", "nats-2", "nats-3", "bridge-1", "bridge-2", "receiver"} {
		if _, there := project.Services[name]; !there {
			t.Errorf("there is no %s", name)
		}
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// docs/deploy.md promises each way in at most ten lines.
func TestWaysAreShort(t *testing.T) {
	blocks := strings.Split(readFile(t, "../../docs/deploy.md"), "```")
	for i := 1; i < len(blocks); i += 2 {
		if n := strings.Count(strings.TrimSpace(blocks[i]), "\n") + 1; n > 10 {
			t.Errorf("this takes %d lines:\n%s", n, blocks[i])
		}
	}
}
