package filter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// withMacros also keeps how macros were written, so that a part can be told as text.
var withMacros = sync.OnceValues(func() (*cel.Env, error) {
	env, err := environment()
	if err != nil {
		return nil, err
	}
	return env.Extend(cel.EnableMacroCallTracking())
})

// Values implements bridge.Filter: first the conditions that are joined by && and
// || , then the members of the event, headers and subject that are read, each as a
// delivery would see it, at most limits.ExplainValues.
func (f *Filter) Values(ctx context.Context, expression string, e *event.Event) []bridge.Value {
	env, err := withMacros()
	if err != nil {
		return nil
	}
	whole, issues := env.Compile(expression)
	if issues.Err() != nil {
		return nil
	}
	var parts []string
	add := func(part ast.Expr) {
		text, err := cel.ExprToString(part, whole.NativeRep().SourceInfo())
		if err == nil && len(parts) < limits.ExplainValues && !contained(parts, text) {
			parts = append(parts, text)
		}
	}
	root := ast.NavigateAST(whole.NativeRep())
	if joins(root) {
		conditions(root, add)
	}
	paths(root, add)
	values := make([]bridge.Value, 0, len(parts))
	for _, part := range parts {
		values = append(values, bridge.Value{Expression: part, Value: f.value(ctx, part, e)})
	}
	return values
}

func contained(list []string, text string) bool {
	for _, have := range list {
		if have == text {
			return true
		}
	}
	return false
}

// value is what a part gives for the event, as text.
func (f *Filter) value(ctx context.Context, part string, e *event.Event) (text string) {
	checked, err := typed(part)
	if err != nil {
		return "error: " + err.Error()
	}
	p, err := program(checked)
	if err == nil {
		err = f.ask(ctx, p, e, func(out ref.Val) error {
			text = shown(out)
			return nil
		})
	}
	if err != nil {
		return "error: " + strings.TrimPrefix(err.Error(), "filter: ")
	}
	return text
}

func joins(e ast.Expr) bool {
	return e.Kind() == ast.CallKind &&
		(e.AsCall().FunctionName() == operators.LogicalAnd || e.AsCall().FunctionName() == operators.LogicalOr)
}

// conditions finds what is joined by && and ||.
func conditions(e ast.NavigableExpr, found func(ast.Expr)) {
	for _, part := range e.Children() {
		if joins(part) {
			conditions(part, found)
		} else {
			found(part)
		}
	}
}

// paths finds the longest ways into the event, outside of what runs over a list.
func paths(e ast.NavigableExpr, found func(ast.Expr)) {
	switch {
	case isPath(e):
		found(e)
	case e.Kind() == ast.ComprehensionKind:
		paths(e.Children()[0], found) // what it runs over
	default:
		for _, part := range e.Children() {
			paths(part, found)
		}
	}
}

// isPath: event, event.a, event["a"], event.a[0], has(event.a).
func isPath(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		return name == "event" || name == "headers" || name == "subject"
	case ast.SelectKind:
		return isPath(e.AsSelect().Operand())
	case ast.CallKind:
		call := e.AsCall()
		return call.FunctionName() == operators.Index && isPath(call.Args()[0]) && call.Args()[1].Kind() == ast.LiteralKind
	}
	return false
}

// shown is a value for people: short, and nothing of what an object holds.
func shown(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		text := strconv.Quote(string(v))
		if len(text) > limits.ExplainValueBytes {
			text = strconv.Quote(string([]rune(string(v))[:limits.ExplainValueBytes/4])) + "…"
		}
		return text
	case types.Null:
		return "null"
	case traits.Mapper:
		return fmt.Sprintf("an object of %v members", v.Size())
	case traits.Lister:
		return fmt.Sprintf("a list of %v", v.Size())
	}
	return line(fmt.Sprint(v.Value()))
}
