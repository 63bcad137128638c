package flight

import (
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"testing"
)

// Every input and output of the machine has a number, by which files name it.
func TestAllInputsAndOutputsAreRecorded(t *testing.T) {
	t.Parallel()
	for file, known := range map[string][]reflect.Type{"inputs.go": inputs, "outputs.go": outputs} {
		parsed, err := parser.ParseFile(token.NewFileSet(), "../protocol/"+file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			types, ok := decl.(*ast.GenDecl)
			if !ok || types.Tok != token.TYPE {
				continue
			}
			for _, spec := range types.Specs {
				s := spec.(*ast.TypeSpec)
				_, isStruct := s.Type.(*ast.StructType)
				if !isStruct || slices.Contains([]string{"Request", "Reply", "Now"}, s.Name.Name) {
					continue
				}
				if !slices.ContainsFunc(known, func(x reflect.Type) bool {
					if x.Kind() == reflect.Pointer {
						x = x.Elem()
					}
					return x.Name() == s.Name.Name
				}) {
					t.Errorf("protocol.%s of %s is not recorded: add it at the end of its list in light.go", s.Name.Name, file)
				}
			}
		}
	}
}
