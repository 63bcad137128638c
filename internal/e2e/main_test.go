// Package e2e drives the built program from outside: on a real bus, with real
// endpoints, killed, cut off and attacked. Nothing here knows the program's code.
package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"orderbridge/internal/lab"
)

// Exit codes of the program.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2 // a flag, an argument or a variable is wrong: nothing was tried
)

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){clusterNode: lab.Node})
}

// suite builds the program before it runs the tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	// Most of these tests wait most of the time: for a lease, for a retry.
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "orderbridge-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "orderbridge/cmd/orderbridge")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return exitFailed
	}
	if err := dependOn("../.."); err != nil {
		panic(err)
	}
	os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return s.M.Run()
}

// dependOn opens all directories of the module, so that `go test` knows what the
// program was built from: a result is not taken from its cache when one changes.
func dependOn(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		return err
	})
}
