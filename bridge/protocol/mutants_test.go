package protocol

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	mutants       = flag.Bool("mutants", false, "break each rule of the protocol once and see a test fail")
	mutantSeeds   = flag.Int("mutants.seeds", 3000, "seeds to try before a mutant counts as a survivor")
	mutantsUpdate = flag.Bool("mutants.update", false, "note in testdata/mutants.tsv what has killed each mutant")
)

// mutantNotes says what kills a mutant, so that it need not be searched for: a
// line for each, its name, a tab, and "stories", "tests" (other ones of the
// package) or a seed of the simulation.
const mutantNotes = "testdata/mutants.tsv"

// reshardNote stands before a seed of TestReshardSimulation.
const reshardNote = "shards "

// TestMutantsMatch holds the mutants against the code: the text of each occurs
// once, and what becomes of it compiles. So who changes the code changes them.
func TestMutantsMatch(t *testing.T) {
	t.Parallel()
	files := packageFiles(t)
	for name, text := range mutatedFiles(t) {
		files[name] = text
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	for _, name := range sorted(files) {
		f, err := parser.ParseFile(fset, name, files[name], parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("a mutant does not compile: %v: %s", err, strings.Split(files[name], "\n")[0])
			return
		}
		parsed = append(parsed, f)
	}
	broken := types.Config{Importer: compiledImports(t, fset), Error: func(err error) {
		t.Errorf("%s does not compile: %v", mutantAt(parsed, fset, err), err)
	}}
	_, _ = broken.Check("orderbridge/bridge/protocol", fset, parsed, nil)
	for n := 1; n <= 18; n++ {
		if !slices.ContainsFunc(allMutants, func(m mutant) bool { return strings.HasPrefix(m.rule, fmt.Sprintf("R%d ", n)) }) {
			t.Errorf("rule R%d has no mutant", n)
		}
	}
}

// mutantAt names the mutant in which a type error is.
func mutantAt(files []*ast.File, fset *token.FileSet, err error) string {
	e, ok := err.(types.Error)
	if !ok {
		return "a mutant"
	}
	for _, f := range files {
		for _, decl := range f.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Pos() <= e.Pos && e.Pos < fn.End() {
				if _, n, ok := strings.Cut(fn.Name.Name, "Mutant"); ok {
					if i, err := strconv.Atoi(n); err == nil {
						return allMutants[i-1].rule
					}
				}
			}
		}
	}
	return "a mutant"
}

// compiledImports takes what the package imports as the build has compiled it.
func compiledImports(t *testing.T, fset *token.FileSet) types.Importer {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = file
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
}

// TestMutants breaks the machine, one rule at a time, and demands that a test of
// the package fails: a story, or a promise in the simulation. It holds the tests
// themselves: `make mutants`.
func TestMutants(t *testing.T) {
	if !*mutants {
		t.Skip("a minute long: make mutants")
	}
	binary, notes := buildMutants(t), readMutantNotes(t)
	var mu sync.Mutex
	killers := maps.Clone(notes)
	t.Run("all", func(t *testing.T) {
		for i, m := range allMutants {
			t.Run(m.rule, func(t *testing.T) {
				t.Parallel()
				begun := time.Now()
				note, how := killMutant(t, binary, i+1, notes[m.rule])
				if note == "" {
					t.Errorf("no test fails, nor any of %d seeds: mend a test, or delete the mutant and say why", *mutantSeeds)
					return
				}
				mu.Lock()
				killers[m.rule] = note
				mu.Unlock()
				t.Logf("%v: %s", time.Since(begun).Round(100*time.Millisecond), how)
				if was := notes[m.rule]; was != note && !*mutantsUpdate {
					t.Logf("it was searched for: %s says %q, -mutants.update writes %q", mutantNotes, was, note)
				}
			})
		}
	})
	if *mutantsUpdate {
		writeMutantNotes(t, killers)
	}
}

// buildMutants builds the tests of the package with all mutants in it.
func buildMutants(t *testing.T) (binary string) {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for name, text := range mutatedFiles(t) {
		replace[filepath.Join(here, name)] = filepath.Join(dir, name)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "mutants.test")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the mutants do not build: %v\n%s", err, out)
	}
	if how := firstFailure(t, binary, 0, "-test.short", "-test.skip=^Test(Mutants|SimulationFinds|SharesProperties)"); how != "" {
		t.Fatalf("without a mutant, too, a test fails: %s", how)
	}
	return binary
}

// killMutant runs the tests until one fails: what killed it last, the stories,
// the other tests, then the simulation seed after seed. It returns what killed
// it ("": nothing) and what that said.
func killMutant(t *testing.T, binary string, mutant int, note string) (killer, how string) {
	t.Helper()
	run := func(killer string) string {
		switch killer {
		case "stories":
			return firstFailure(t, binary, mutant, "-test.failfast", "-test.run=^TestStories$")
		case "tests":
			return firstFailure(t, binary, mutant, "-test.failfast", "-test.short", "-test.skip=^Test(Stories|Simulation|ReshardSimulation|Mutants|SharesProperties)")
		}
		test := "TestSimulation"
		if seed, ok := strings.CutPrefix(killer, reshardNote); ok {
			test, killer = "TestReshardSimulation", seed
		}
		return firstFailure(t, binary, mutant, "-test.run=^"+test+"$", "-sim.from="+killer, "-sim.seeds=1")
	}
	test, prefix := "TestSimulation", ""
	if rule := allMutants[mutant-1].rule; strings.HasPrefix(rule, "R17 ") || strings.HasPrefix(rule, "R18 ") {
		test, prefix = "TestReshardSimulation", reshardNote
	}
	search := func(seeds int) (killer, how string) {
		how = firstFailure(t, binary, mutant, "-test.run=^"+test+"$", "-sim.first", fmt.Sprint("-sim.seeds=", seeds))
		if _, rest, ok := strings.Cut(how, "seed "); ok {
			killer, _, _ = strings.Cut(rest, ":")
			killer = prefix + killer
		}
		return killer, how
	}
	if note != "" {
		if how := run(note); how != "" {
			return note, how
		}
	}
	if how := run("stories"); how != "" {
		return "stories", how
	}
	if killer, how := search(*mutantSeeds / 10); killer != "" {
		return killer, how
	}
	if how := run("tests"); how != "" {
		return "tests", how
	}
	return search(*mutantSeeds)
}

// firstFailure is the line that says how the tests have failed, "" if they have not.
func firstFailure(t *testing.T, binary string, mutant int, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), fmt.Sprint(mutantVariable, "=", mutant))
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	lines := bufio.NewScanner(strings.NewReader(string(out)))
	first := ""
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.Contains(line, ": seed "), strings.HasPrefix(line, "panic:"):
			return line
		case strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "--- FAIL"):
			first = cmp.Or(first, line)
		}
	}
	return cmp.Or(first, err.Error())
}

func readMutantNotes(t *testing.T) map[string]string {
	t.Helper()
	notes := map[string]string{}
	text, err := os.ReadFile(mutantNotes)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		rule, seed, _ := strings.Cut(strings.TrimSpace(line), "\t")
		notes[rule] = seed
	}
	return notes
}

func writeMutantNotes(t *testing.T, killers map[string]string) {
	t.Helper()
	var b strings.Builder
	for _, m := range allMutants {
		if killer := killers[m.rule]; killer != "" {
			fmt.Fprintf(&b, "%s\t%s\n", m.rule, killer)
		}
	}
	if err := os.WriteFile(mutantNotes, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
