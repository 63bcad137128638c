package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Nothing that is made for tests is linked into the program.
func TestNothingOfTestsIsLinked(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	linked := strings.Fields(string(out))
	for _, made := range []string{"testing", "net/http/httptest", "orderbridge/internal/lab"} {
		if slices.Contains(linked, made) {
			t.Errorf("%s is linked", made)
		}
	}
}
