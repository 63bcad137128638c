// Package e2e drives the built program from outside: on a real bus, with real
// endpoints, killed, cut off and attacked.
package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
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

// programs is the directory of those that were built.
var programs string

// suite builds the program before it runs the tests.
type suite struct{ *testing.M }

func (s suite) Run() int {
	// Most of these tests wait most of the time: for a lease, for a retry, some
	// for their turn (see turn). What is measured wants the machine for itself.
	parallel := "12"
	if lab.Held() {
		parallel = "2"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		panic(err)
	}
	var err error
	if programs, err = os.MkdirTemp("", "orderbridge-"); err != nil {
		panic(err)
	}
	defer os.RemoveAll(programs)
	if err := errors.Join(lab.Build(context.Background(), programs), dependOn("../..")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	os.Setenv("PATH", programs+string(os.PathListSeparator)+os.Getenv("PATH"))
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
