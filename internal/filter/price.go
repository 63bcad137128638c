package filter

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"orderbridge/internal/limits"
)

// What CEL takes as free or dear only afterwards is mended in the plan of an
// expression: a list or map that it makes is charged for what it holds, and a
// regular expression is refused before it runs, where text and program are too
// long for each other.

// Names of calls that are ours, for the prices.
const (
	construct = "orderbridge.construct"
	matching  = "orderbridge.matches"
)

// decorate puts ours in place of the library's nodes.
func decorate(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	switch node := i.(type) {
	case interpreter.InterpretableConstructor:
		for _, v := range node.InitVals() {
			if _, ok := v.(interpreter.InterpretableConst); !ok {
				return &constructor{node}, nil
			}
		}
	case interpreter.InterpretableCall:
		if args := node.Args(); node.Function() == overloads.Matches && len(args) == 2 {
			return interpreter.NewCall(node.ID(), matching, node.OverloadID(), args, match), nil
		}
	}
	return i, nil
}

// constructor makes a list or map of values that are not constant.
type constructor struct {
	interpreter.InterpretableConstructor
}

// Exec implements interpreter.InterpretableV2.
func (c *constructor) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	v := c.InterpretableConstructor.Exec(frame)
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalVarArgs(frame, c.ID(), c, nil, v)
	}
	return v
}

// Eval implements interpreter.Interpretable.
func (c *constructor) Eval(a interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(a, c.Exec)
}

// Function implements cost.Call.
func (*constructor) Function() string { return construct }

// OverloadID implements cost.Call.
func (*constructor) OverloadID() string { return "" }

// elementCost is what a new list or map costs.
func elementCost(v ref.Val) int {
	s, ok := v.(traits.Sizer)
	if !ok {
		return 1
	}
	n, ok := s.Size().(types.Int)
	switch {
	case !ok:
		return 1
	case v.Type() == types.MapType:
		return 4 * int(n)
	}
	return int(n)
}

// pattern is a regular expression that was compiled, or why it was not.
type pattern struct {
	re    *regexp.Regexp
	size  int // instructions
	wrong string
}

var compiledPatterns = recent[string, *pattern]{most: limits.FilterPatternsKept}

func compilePattern(text string) *pattern {
	if p, ok := compiledPatterns.get(text); ok {
		return p
	}
	p := newPattern(text)
	compiledPatterns.put(text, p)
	return p
}

func newPattern(text string) *pattern {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return &pattern{wrong: err.Error()}
	}
	program, err := syntax.Compile(parsed.Simplify())
	switch {
	case err != nil:
		return &pattern{wrong: err.Error()}
	case len(program.Inst) > limits.FilterRegexSize:
		return &pattern{wrong: fmt.Sprintf("a regular expression of %d instructions; at most %d are allowed",
			len(program.Inst), limits.FilterRegexSize)}
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return &pattern{wrong: err.Error()}
	}
	return &pattern{re: re, size: len(program.Inst)}
}

// match is CEL's matches.
func match(args ...ref.Val) ref.Val {
	if len(args) != 2 {
		return types.NoSuchOverloadErr()
	}
	text, ok := args[0].(types.String)
	expression, ok2 := args[1].(types.String)
	if !ok || !ok2 {
		return types.MaybeNoSuchOverloadErr(args[0])
	}
	if len(expression) > limits.FilterRegexBytes {
		return types.NewErr("a regular expression of %d bytes; at most %d are allowed", len(expression),
			limits.FilterRegexBytes)
	}
	p := compilePattern(string(expression))
	if p.re == nil {
		return types.NewErr("%s", p.wrong)
	}
	if matchCost(text, expression) > limits.FilterCost {
		panic(interpreter.EvalCancelledError{Cause: interpreter.CostLimitExceeded,
			Message: "a text too long for its regular expression"})
	}
	return types.Bool(p.re.MatchString(string(text)))
}

// matchCost is the price of a match.
func matchCost(text, expression ref.Val) int {
	n := length(expression)
	if n > limits.FilterRegexBytes {
		return 1
	}
	if s, ok := expression.(types.String); ok {
		n = max(n, compilePattern(string(s)).size)
	}
	return (1 + length(text)/10) * (1 + n/4)
}
