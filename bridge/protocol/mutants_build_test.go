package protocol

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// All mutants are built into one program, which is told by the environment
// which of them it is: a function that some mutants change is there once as it
// is and once for each of them, behind one that chooses.

// mutantVariable of the environment names the mutant by its place in allMutants.
const mutantVariable = "ORDERBRIDGE_MUTANT"

// mutantChooser is the file that is added to the package.
const mutantChooser = `package protocol

import (
	"os"
	"strconv"
)

var mutantNow, _ = strconv.Atoi(os.Getenv("` + mutantVariable + `"))
`

// mutated is what a mutant makes of one function.
type mutated struct {
	mutant int // from 1
	text   string
}

// packageFiles are the files of the package without its tests.
func packageFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

// mutatedFiles are the files that hold all mutants, as far as they match.
func mutatedFiles(t *testing.T) map[string]string {
	t.Helper()
	files := packageFiles(t)
	all := strings.Join(sortedValues(files), "\n")
	for i, m := range allMutants {
		if n := strings.Count(all, m.old); n != 1 {
			t.Errorf("%s: its text occurs %d times in the package, it must follow the code: %q", m.rule, n, m.old)
		}
		if slices.ContainsFunc(allMutants[:i], func(x mutant) bool { return x.rule == m.rule }) {
			t.Errorf("%s: there are two of that name", m.rule)
		}
	}
	changed := map[string]string{"mutants.go": mutantChooser}
	placed := map[int]bool{}
	for name, text := range files {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		at := 0
		for _, decl := range f.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := fset.Position(fn.Pos()).Offset, fset.Position(fn.End()).Offset
			if changes := changesIn(text[from:to]); len(changes) > 0 {
				for _, c := range changes {
					placed[c.mutant] = true
				}
				b.WriteString(text[at:from] + chooser(text, fset, fn, changes))
				at = to
			}
		}
		if at > 0 {
			changed[name] = b.String() + text[at:]
		}
	}
	for i, m := range allMutants {
		if strings.Count(all, m.old) == 1 && !placed[i+1] {
			t.Errorf("%s: its text is not within one function", m.rule)
		}
	}
	return changed
}

func sortedValues(m map[string]string) (values []string) {
	for _, k := range sorted(m) {
		values = append(values, m[k])
	}
	return values
}

func changesIn(function string) (changes []mutated) {
	for i, m := range allMutants {
		if strings.Count(function, m.old) == 1 {
			changes = append(changes, mutated{i + 1, strings.Replace(function, m.old, m.broken, 1)})
		}
	}
	return changes
}

// chooser is the function as it is, and as each mutant makes it, behind one that chooses.
func chooser(text string, fset *token.FileSet, fn *ast.FuncDecl, changes []mutated) string {
	source := func(n ast.Node) string { return text[fset.Position(n.Pos()).Offset:fset.Position(n.End()).Offset] }
	name := fn.Name.Name
	head, call := "func ", ""
	if fn.Recv != nil {
		head += "(x " + source(fn.Recv.List[0].Type) + ") "
		call = "x."
	}
	var parameters, arguments []string
	for _, field := range fn.Type.Params.List {
		for range max(1, len(field.Names)) {
			p := fmt.Sprint("p", len(parameters))
			parameters = append(parameters, p+" "+source(field.Type))
			if _, variadic := field.Type.(*ast.Ellipsis); variadic {
				p += "..."
			}
			arguments = append(arguments, p)
		}
	}
	results, before, after := "", "", "\n\t\treturn\n"
	if fn.Type.Results != nil {
		results, before, after = source(fn.Type.Results), "return ", "\n"
	}
	calling := func(suffix string) string {
		return "\t\t" + before + call + name + suffix + "(" + strings.Join(arguments, ", ") + ")" + after
	}
	renamed := func(function, suffix string) string { // the name comes first but for the receiver
		at := strings.Index(function, " "+name+"(") + 1 + len(name)
		return function[:at] + suffix + function[at:]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s(%s) %s {\n\tswitch mutantNow {\n", head, name, strings.Join(parameters, ", "), results)
	for _, c := range changes {
		fmt.Fprintf(&b, "\tcase %d:\n%s", c.mutant, calling(fmt.Sprint("Mutant", c.mutant)))
	}
	fmt.Fprintf(&b, "\tdefault:\n%s\t}\n}\n\n%s\n", calling("AsItIs"), renamed(source(fn), "AsItIs"))
	for _, c := range changes {
		fmt.Fprintf(&b, "\n%s\n", renamed(c.text, fmt.Sprint("Mutant", c.mutant)))
	}
	return b.String()
}
