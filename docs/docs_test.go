// Package docs_test holds the documents against the code: what the code cites can be looked up.
package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const root = ".."

// text is a part of a Go file that may cite a number.
type text struct {
	where string
	words string
}

// goTexts are the comments of all Go files and, of tests, the string literals and the names of test functions.
func goTexts(t *testing.T) (comments, literals, tests []text) {
	t.Helper()
	for _, name := range sources(t, ".go") {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		at := func(p token.Pos) string { return name + ":" + strconv.Itoa(files.Position(p).Line) }
		for _, group := range f.Comments {
			comments = append(comments, text{at(group.Pos()), group.Text()})
		}
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
					literals = append(literals, text{at(n.Pos()), s})
				}
			case *ast.FuncDecl:
				tests = append(tests, text{at(n.Pos()), n.Name.Name})
			}
			return true
		})
	}
	return comments, literals, tests
}

// sources are the files of the repository with that ending.
func sources(t *testing.T, ending string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch base := filepath.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(base, ".") || base == "bin" || base == "data" || base == "testdata" || base == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(base, ending):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// numbers are what the first group of a pattern finds in a document.
func numbers(t *testing.T, name, pattern string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(t, name), -1) {
		found[m[1]] = true
	}
	if len(found) == 0 {
		t.Fatalf("%s holds no numbers", name)
	}
	return found
}

// TestRulesCanBeLookedUp wants a heading in rules.md for each rule that the code cites.
func TestRulesCanBeLookedUp(t *testing.T) {
	t.Parallel()
	rules := numbers(t, "rules.md", `(?m)^## (R\d+b?) `)
	cited := regexp.MustCompile(`\bR\d{1,2}b?\b`)
	comments, literals, _ := goTexts(t)
	for _, x := range append(comments, literals...) {
		for _, rule := range cited.FindAllString(x.words, -1) {
			if !rules[rule] {
				t.Errorf("%s cites %s, which has no heading in docs/rules.md", x.where, rule)
			}
		}
	}
}

// TestContractsCanBeLookedUp wants a statement in contracts.md for each number that the code cites, and a test for
// each statement.
func TestContractsCanBeLookedUp(t *testing.T) {
	t.Parallel()
	statements := numbers(t, "contracts.md", `(?m)^- \*\*([ABCDX]\d+)\*\* `)
	inComment := regexp.MustCompile(`(?:^|[^%\w])([ABCDX][1-9]\d?)\b`)
	first := regexp.MustCompile(`^(?:[ABCDX][1-9]\d?,? )*([ABCDX][1-9]\d?)(?:[ ,]|$)`) // of a row: "A7 A9 A10"
	number := regexp.MustCompile(`[ABCDX][1-9]\d?`)
	inName := regexp.MustCompile(`^TestContract([ABCDX][1-9]\d*)`)
	comments, literals, tests := goTexts(t)
	tested := map[string]bool{}
	cite := func(where, n string) {
		if !statements[n] {
			t.Errorf("%s cites %s, which docs/contracts.md does not hold", where, n)
		}
	}
	for _, x := range comments {
		for _, m := range inComment.FindAllStringSubmatch(x.words, -1) {
			cite(x.where, m[1])
			tested[m[1]] = tested[m[1]] || strings.Contains(x.where, "_test.go")
		}
	}
	for _, x := range literals {
		for _, n := range number.FindAllString(first.FindString(x.words), -1) {
			cite(x.where, n)
			tested[n] = true
		}
	}
	for _, x := range tests {
		if m := inName.FindStringSubmatch(x.words); m != nil {
			cite(x.where, m[1])
			tested[m[1]] = true
		}
	}
	for _, n := range slices.Sorted(maps.Keys(statements)) {
		if !tested[n] {
			t.Errorf("no test carries the number %s of docs/contracts.md", n)
		}
	}
}

// TestLinks wants every local link of the documents to lead somewhere.
func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range sources(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			at := name
			if target != "" {
				at = filepath.Join(filepath.Dir(name), target)
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
				continue
			}
			if anchor != "" && !anchors(read(t, at))[anchor] {
				t.Errorf("%s links to %s: there is no such heading", name, m[1])
			}
		}
	}
}

// anchors are the names by which the headings of a document can be linked.
func anchors(document string) map[string]bool {
	found := map[string]bool{}
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(document) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(line), "#"), " "); ok && strings.HasPrefix(line, "#") {
			found[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(title), ""), " ", "-")] = true
		}
	}
	return found
}

// TestTestsAreThere wants every test that a document names to exist; "TestContractX2…" names all that begin so.
func TestTestsAreThere(t *testing.T) {
	t.Parallel()
	_, _, tests := goTexts(t)
	named := regexp.MustCompile("`(Test\\w+)(…?)")
	for _, name := range sources(t, ".md") {
		if strings.HasSuffix(name, "CHANGELOG.md") || strings.Contains(name, "decisions") { // tests of then, and of others
			continue
		}
		for _, m := range named.FindAllStringSubmatch(read(t, name), -1) {
			if !slices.ContainsFunc(tests, func(x text) bool {
				return x.words == m[1] || m[2] != "" && strings.HasPrefix(x.words, m[1])
			}) {
				t.Errorf("%s names %s, and there is no such test", name, m[1]+m[2])
			}
		}
	}
}

// TestFilesAreThere wants every Go file that rules.md and glossary.md name to exist.
func TestFilesAreThere(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile("`([a-z0-9_/]+\\.go)`")
	for _, name := range []string{"rules.md", "glossary.md"} {
		for _, m := range named.FindAllStringSubmatch(read(t, name), -1) {
			at := filepath.Join(root, "bridge", "protocol", m[1])
			if strings.Contains(m[1], "/") {
				at = filepath.Join(root, m[1])
			}
			if _, err := os.Stat(at); err != nil {
				t.Errorf("%s names %s: %v", name, m[1], err)
			}
		}
	}
}

// TestRulesHaveStories wants for each rule a story that is named by it.
func TestRulesHaveStories(t *testing.T) {
	t.Parallel()
	for rule := range numbers(t, "rules.md", `(?m)^## R(\d+b?) `) {
		pattern := "r" + strings.Repeat("0", max(0, 2-len(strings.TrimSuffix(rule, "b")))) + rule + "_*.txt"
		stories, err := filepath.Glob(filepath.Join(root, "bridge", "protocol", "testdata", pattern))
		if err != nil || len(stories) == 0 {
			t.Errorf("R%s of rules.md has no story %s (%v)", rule, pattern, err)
		}
	}
}
