package lab

import (
	"cmp"
	_ "embed"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Patience is how long a test waits for what should happen. It is far more than
// any of it takes: on a slow machine a test takes longer, and does not fail.
const Patience = 4 * time.Minute

// Held tells whether times, sizes and counts are held against what is promised:
// under `make times`, on a machine that does nothing else. Anywhere else they
// depend on what else it does, and are only logged.
func Held() bool { return os.Getenv("ORDERBRIDGE_TIMES") == "held" }

// The tests that hold promises, each with its package: what `make times` runs.
//
//go:embed promises.txt
var promises string

// Promise logs what was measured, a time, a size or a count, beside what is
// promised at most. Where promises are held, the test fails if it is more.
func Promise[T cmp.Ordered](t testing.TB, what string, measured, promised T) {
	t.Helper()
	if name, _, _ := strings.Cut(t.Name(), "/"); !slices.Contains(strings.Fields(promises), name) {
		t.Errorf("%s holds a promise, and is not in internal/lab/promises.txt: `make times` does not run it", name)
	}
	if Held() && measured > promised {
		t.Errorf("%s: %v, at most %v are promised", what, measured, promised)
		return
	}
	t.Logf("%s: %v (promised: %v)", what, measured, promised)
}
