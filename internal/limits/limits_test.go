package limits_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"orderbridge/internal/limits"
)

var update = flag.Bool("update", false, "write the table of limits in docs/security.md again")

const document = "../../docs/security.md"

// A constant has one row, whose value is printed from it, and the other way
// round; both stand in one file, in the same order.
func TestEachConstantHasARow(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		constants, rows := constantsOf(f), rowsOf(t, f)
		all += len(rows)
		if slices.Equal(constants, rows) {
			continue
		}
		for _, c := range constants {
			if !slices.Contains(rows, c) {
				t.Errorf("%s: %s has no row", file, c)
			}
		}
		for _, r := range rows {
			if !slices.Contains(constants, r) {
				t.Errorf("%s: the row %s has no constant", file, r)
			}
		}
		if !t.Failed() {
			t.Errorf("%s: the rows have another order than the constants, or one stands twice:\n%q\n%q", file, rows, constants)
		}
	}
	if n := len(limits.All()); n != all || n == 0 {
		t.Errorf("All has %d rows, the files %d: is a part missing in parts?", n, all)
	}
	for _, l := range limits.All() {
		if l.For == "" || l.What == "" || l.Beyond == "" {
			t.Errorf("the row of %s is not complete: %+v", l.Name, l)
		}
	}
}

// constantsOf are the exported constants of a file.
func constantsOf(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if n.IsExported() {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	return names
}

// rowsOf are the names of the rows of a file, each of which prints its constant.
func rowsOf(t *testing.T, f *ast.File) (names []string) {
	t.Helper()
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if name, ok := call.Fun.(*ast.Ident); !ok || name.Name != "row" || len(call.Args) < 2 {
			return true
		}
		name := strings.Trim(call.Args[0].(*ast.BasicLit).Value, `"`)
		names = append(names, name)
		printed := false
		ast.Inspect(call.Args[1], func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok && id.Name == name {
				printed = true
			}
			return true
		})
		if !printed {
			t.Errorf("the row of %s does not print its value", name)
		}
		return true
	})
	return names
}

// The program uses each of them.
func TestEachLimitIsUsed(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	text := sources(t, func(path string) bool { return !strings.HasSuffix(path, "_test.go") })
	for _, m := range regexp.MustCompile(`\blimits\.([A-Z]\w*)`).FindAllStringSubmatch(text, -1) {
		used[m[1]] = true
	}
	for _, l := range limits.All() {
		if !used[l.Name] {
			t.Errorf("%s is used nowhere", l.Name)
		}
	}
}

func TestDocumentedTable(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- limits: written by go test ./internal/limits -update -->\n", "<!-- end of limits -->\n"
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(raw), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no markers around the table of limits", document)
	}
	want := before + begin + table() + end + after
	if want == string(raw) {
		return
	}
	if !*update {
		t.Fatalf("%s does not tell the limits as they are: go test ./internal/limits -update", document)
	}
	if err := os.WriteFile(document, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table() string {
	var b strings.Builder
	part := ""
	for _, l := range limits.All() {
		if l.Part != part {
			part = l.Part
			fmt.Fprintf(&b, "\n### %s\n\n| what | bound | for | beyond it | setting | test |\n|---|---|---|---|---|---|\n", part)
		}
		setting, test := l.Setting, l.Test
		if setting != "" {
			setting = "`" + setting + "`"
		}
		if test != "" {
			test = "`" + test + "`"
		}
		fmt.Fprintf(&b, "| %s (`%s`) | %s | %s | %s | %s | %s |\n", strings.TrimRight(l.What, ". "), l.Name, l.Value, l.For, l.Beyond, setting, test)
	}
	return b.String() + "\n"
}

// Every test that docs/security.md names, in either table, exists.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(sources(t, func(path string) bool { return strings.HasSuffix(path, "_test.go") }), -1) {
		known[m[1]] = true
	}
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`").FindAllStringSubmatch(string(raw), -1)
	for _, m := range named {
		if !known[m[1]] {
			t.Errorf("%s names %s, which does not exist", document, m[1])
		}
	}
	for _, l := range limits.All() {
		if l.Test != "" && !known[l.Test] {
			t.Errorf("the row of %s names %s, which does not exist", l.Name, l.Test)
		}
	}
}

// sources are the wanted Go files of the module as one text.
func sources(t *testing.T, wanted func(path string) bool) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "dist" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || !wanted(path):
			return nil
		}
		raw, err := os.ReadFile(path)
		b.Write(raw)
		b.WriteByte('\n')
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
