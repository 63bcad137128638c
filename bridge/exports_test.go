package bridge_test

import (
	"flag"
	"go/ast"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// The packages whose exported names are those that others use, and no more.
var kept = map[string]bool{
	"orderbridge/bridge": true, "orderbridge/bridge/event": true, "orderbridge/bridge/record": true, "orderbridge/bridge/protocol": true,
	"orderbridge/bridge/flight": true,
}

// Methods that are called by what they are for: printing, encoding, sorting.
var calledByOthers = []string{"String", "GoString", "Error", "Unwrap", "Is", "LogValue", "MarshalJSON", "UnmarshalJSON", "MarshalText"}

var checkExports = flag.Bool("exports", false, "see that others use each exported name")

// Other packages, or their tests, use each exported name of these packages.
// A type counts as used where an exported name shows it, a constant where another
// one of its group is used. Fields and the methods of ports are not asked about.
func TestExportedNamesAreUsed(t *testing.T) {
	if !*checkExports {
		t.Skip("type-checks the whole tree: make lint")
	}
	tree, err := packages.Load(&packages.Config{Mode: packages.LoadSyntax, Dir: "..", Tests: true}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	x := exports{used: map[string]bool{}, exported: map[string]*export{}}
	for _, p := range tree {
		for _, err := range p.Errors {
			t.Fatal(err)
		}
		if kept[p.PkgPath] && p.ID == p.PkgPath {
			x.declare(p)
		}
	}
	for _, p := range tree {
		x.use(p)
	}
	x.satisfy(tree)
	names, methods := 0, 0
	for _, key := range slices.Sorted(maps.Keys(x.exported)) {
		e := x.exported[key]
		if e.method {
			methods++
		} else {
			names++
		}
		if !x.isUsed(key) && !slices.ContainsFunc(e.group, x.isUsed) {
			t.Errorf("%s: nobody outside of its package uses %s", e.where, e.name)
		}
	}
	t.Logf("%d exported names, %d exported methods", names, methods)
}

// exports are the exported names by where they are declared: a package and its
// test variant have one declaration each for the same name.
type exports struct {
	exported map[string]*export
	used     map[string]bool
	types    []*types.TypeName
	fset     *token.FileSet
}

type export struct {
	name, where string
	method      bool
	group       []string // other constants of the declaration
}

func (x *exports) isUsed(key string) bool { return x.used[key] }

func (x *exports) key(o types.Object) string { return x.fset.Position(o.Pos()).String() }

func (x *exports) declare(p *packages.Package) {
	x.fset = p.Fset
	add := func(o types.Object, name string, method bool) {
		if o.Exported() {
			x.exported[x.key(o)] = &export{name: p.Name + "." + name, where: x.key(o), method: method}
		}
	}
	scope := p.Types.Scope()
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		add(o, name, false)
		tn, ok := o.(*types.TypeName)
		if !ok {
			continue
		}
		x.types = append(x.types, tn)
		named, ok := tn.Type().(*types.Named)
		if !ok || !tn.Exported() {
			continue
		}
		for m := range named.Methods() {
			add(m, name+"."+m.Name(), true)
			if slices.Contains(calledByOthers, m.Name()) {
				x.used[x.key(m)] = true
			}
		}
	}
	for _, f := range p.Syntax {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				x.constants(p, g)
			}
		}
	}
	for _, name := range scope.Names() {
		if o := scope.Lookup(name); o.Exported() {
			x.mention(o.Type(), 0)
		}
	}
}

func (x *exports) constants(p *packages.Package, g *ast.GenDecl) {
	var keys []string
	for _, s := range g.Specs {
		for _, n := range s.(*ast.ValueSpec).Names {
			keys = append(keys, x.fset.Position(n.Pos()).String())
		}
	}
	for _, k := range keys {
		if e := x.exported[k]; e != nil {
			e.group = keys
		}
	}
}

// mention marks the named types that an exported name shows.
func (x *exports) mention(t types.Type, depth int) {
	if depth > 8 {
		return
	}
	switch t := t.(type) {
	case *types.Named:
		if depth > 0 {
			x.used[x.key(t.Obj())] = true
			return
		}
		for m := range t.Methods() {
			if m.Exported() {
				x.mention(m.Type(), 1)
			}
		}
		x.mention(t.Underlying(), 1)
	case *types.Struct:
		for f := range t.Fields() {
			if f.Exported() {
				x.mention(f.Type(), depth+1)
			}
		}
	case *types.Interface:
		for m := range t.ExplicitMethods() {
			x.mention(m.Type(), depth+1)
		}
	case *types.Signature:
		for _, list := range []*types.Tuple{t.Params(), t.Results()} {
			for v := range list.Variables() {
				x.mention(v.Type(), depth+1)
			}
		}
	case *types.Map:
		x.mention(t.Key(), depth+1)
		x.mention(t.Elem(), depth+1)
	case interface{ Elem() types.Type }:
		x.mention(t.Elem(), depth+1)
	}
}

// use notes what a package uses of others.
func (x *exports) use(p *packages.Package) {
	for _, o := range p.TypesInfo.Uses {
		if o.Pkg() == nil || !kept[o.Pkg().Path()] || !o.Pos().IsValid() {
			continue
		}
		if strings.TrimSuffix(p.PkgPath, "_test") != o.Pkg().Path() || strings.HasSuffix(p.PkgPath, "_test") {
			x.used[x.key(o)] = true
		}
	}
}

// satisfy marks methods because of which a type is what an interface of the tree asks for.
func (x *exports) satisfy(tree []*packages.Package) {
	for _, p := range tree {
		if p.Types == nil {
			continue
		}
		for _, name := range p.Types.Scope().Names() {
			tn, ok := p.Types.Scope().Lookup(name).(*types.TypeName)
			if !ok {
				continue
			}
			iface, ok := tn.Type().Underlying().(*types.Interface)
			if !ok || iface.NumMethods() == 0 {
				continue
			}
			for _, of := range x.types {
				t := types.NewPointer(of.Type())
				if !types.Implements(t, iface) {
					continue
				}
				for m := range iface.Methods() {
					if o, _, _ := types.LookupFieldOrMethod(t, true, of.Pkg(), m.Name()); o != nil {
						x.used[x.key(o)] = true
					}
				}
			}
		}
	}
}
