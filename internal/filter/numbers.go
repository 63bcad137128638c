package filter

import (
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// JSON has one kind of number, CEL has three that do not mix. Who writes a
// filter does not know whether a publisher says 7 or 7.0, so:
//
//   - a whole number is an int (a uint above the largest int), any other a
//     double. From 2^53 on, where doubles are whole numbers, also 9e15 is an int;
//   - + - * / work on mixed kinds as on doubles, % on doubles that are whole;
//   - comparisons of mixed kinds are exact.
//
// What two ints give stays an int: 7 / 2 is 3.

const exact = 1 << 53 // from here on a double holds nothing behind the point

// number is the value of a number's literal text.
func number(s string) any {
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(s, 10, 64); err == nil {
			return u
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil && !math.IsInf(f, 0):
		return s
	case math.Abs(f) >= exact && math.Abs(f) <= math.MaxUint64 && len(s) <= 64:
		// Neither length nor exponent can make this expensive.
		if r, ok := new(big.Rat).SetString(s); ok && r.IsInt() {
			if i := r.Num(); i.IsInt64() {
				return i.Int64()
			} else if i.IsUint64() {
				return i.Uint64()
			}
		}
	}
	return f
}

type operation func(lhs, rhs ref.Val) ref.Val

func add(l, r ref.Val) ref.Val      { return l.(traits.Adder).Add(r) }
func subtract(l, r ref.Val) ref.Val { return l.(traits.Subtractor).Subtract(r) }
func multiply(l, r ref.Val) ref.Val { return l.(traits.Multiplier).Multiply(r) }
func divide(l, r ref.Val) ref.Val   { return l.(traits.Divider).Divide(r) }
func modulo(l, r ref.Val) ref.Val   { return l.(traits.Modder).Modulo(r) }

// overridden are the operators of the standard library that we put ours in place of.
var overridden = map[string]struct {
	bind  operation
	mixed bool // gets overloads for numbers of different kinds
	trait int
}{
	operators.Add:           {mixedly(add), true, traits.AdderType},
	operators.Subtract:      {mixedly(subtract), true, traits.SubtractorType},
	operators.Multiply:      {mixedly(multiply), true, traits.MultiplierType},
	operators.Divide:        {mixedly(divide), true, traits.DividerType},
	operators.Modulo:        {wholly, true, 0},
	operators.Less:          {ordered(func(c int) bool { return c < 0 }), false, traits.ComparerType},
	operators.LessEquals:    {ordered(func(c int) bool { return c <= 0 }), false, traits.ComparerType},
	operators.Greater:       {ordered(func(c int) bool { return c > 0 }), false, traits.ComparerType},
	operators.GreaterEquals: {ordered(func(c int) bool { return c >= 0 }), false, traits.ComparerType},
}

// library is CEL's standard library with operators that take numbers of any kind.
func library() ([]cel.EnvOption, error) {
	subset := env.NewLibrarySubset()
	var ours []*decls.FunctionDecl
	for _, f := range stdlib.Functions() {
		o, ok := overridden[f.Name()]
		if !ok {
			continue
		}
		subset.AddExcludedFunctions(env.NewFunction(f.Name()))
		var options []decls.FunctionOpt
		for _, old := range f.OverloadDecls() {
			options = append(options, decls.Overload(old.ID(), old.ArgTypes(), old.ResultType()))
		}
		if o.mixed {
			options = append(options, mixedOverloads(f.Name())...)
		}
		options = append(options, decls.SingletonBinaryBinding(functions.BinaryOp(o.bind), traitsOf(o.trait)...))
		own, err := decls.NewFunction(f.Name(), options...)
		if err != nil {
			return nil, err
		}
		ours = append(ours, own)
	}
	return []cel.EnvOption{cel.StdLib(cel.StdLibSubset(subset)), cel.FunctionDecls(ours...)}, nil
}

func traitsOf(trait int) []int {
	if trait == 0 {
		return nil
	}
	return []int{trait}
}

func mixedOverloads(name string) (options []decls.FunctionOpt) {
	kinds := []*types.Type{types.IntType, types.UintType, types.DoubleType}
	for _, l := range kinds {
		for _, r := range kinds {
			result := types.DoubleType
			switch {
			case l == r && (name != operators.Modulo || l != types.DoubleType):
				continue // the library has it
			case name == operators.Modulo, l != types.DoubleType && r != types.DoubleType:
				result = types.IntType
			}
			options = append(options,
				decls.Overload("mixed_"+name+"_"+l.TypeName()+"_"+r.TypeName(), []*types.Type{l, r}, result))
		}
	}
	return options
}

// mixedly does the operation on numbers of one kind: of two whole ones an int
// where both are one, else a double.
func mixedly(do operation) operation {
	return func(l, r ref.Val) ref.Val {
		if l.Type() == r.Type() {
			return do(l, r)
		}
		if !isNumber(l) || !isNumber(r) {
			return do(l, r)
		}
		if l.Type() != types.DoubleType && r.Type() != types.DoubleType {
			if a, b := alike(l, r); a != nil {
				return do(a, b)
			}
		}
		return do(double(l), double(r))
	}
}

// wholly is %: of ints, of uints, and of what is as good as that.
func wholly(l, r ref.Val) ref.Val {
	if !isNumber(l) || !isNumber(r) {
		return types.MaybeNoSuchOverloadErr(l)
	}
	if l.Type() == r.Type() && l.Type() != types.DoubleType {
		return modulo(l, r)
	}
	a, b := alike(l, r)
	if a == nil {
		return types.NewErr("%% needs whole numbers, not %v and %v", l.Value(), r.Value())
	}
	return modulo(a, b)
}

// ordered compares; numbers of different kinds exactly.
func ordered(want func(int) bool) operation {
	return func(l, r ref.Val) ref.Val {
		if l.Type() != r.Type() && isNumber(l) && isNumber(r) {
			if c, ok := compare(l, r); ok {
				return types.Bool(want(c))
			}
		}
		c, ok := l.(traits.Comparer).Compare(r).(types.Int)
		if !ok {
			return l.(traits.Comparer).Compare(r) // an error
		}
		return types.Bool(want(int(c)))
	}
}

// compare compares two numbers; false if one is none (NaN).
func compare(l, r ref.Val) (int, bool) {
	a, b := exactly(l), exactly(r)
	switch {
	case a != nil && b != nil:
		return a.Cmp(b), true
	case math.IsNaN(float64(double(l))) || math.IsNaN(float64(double(r))):
		return 0, false
	default: // an infinite one
		return cmp.Compare(float64(double(l)), float64(double(r))), true
	}
}

// exactly is nil for what is not a finite number.
func exactly(v ref.Val) *big.Float {
	b := new(big.Float).SetPrec(128)
	switch v := v.(type) {
	case types.Int:
		return b.SetInt64(int64(v))
	case types.Uint:
		return b.SetUint64(uint64(v))
	case types.Double:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil
		}
		return b.SetFloat64(float64(v))
	}
	return nil
}

func isNumber(v ref.Val) bool {
	switch v.(type) {
	case types.Int, types.Uint, types.Double:
		return true
	}
	return false
}

// alike makes ints of two numbers, else uints; nil if neither can be.
func alike(l, r ref.Val) (a, b ref.Val) {
	if a, ok := whole(l); ok {
		if b, ok := whole(r); ok {
			return a, b
		}
	}
	if a, ok := unsigned(l); ok {
		if b, ok := unsigned(r); ok {
			return a, b
		}
	}
	return nil, nil
}

func unsigned(v ref.Val) (types.Uint, bool) {
	if u, ok := v.(types.Uint); ok {
		return u, true
	}
	i, ok := whole(v)
	return types.Uint(i), ok && i >= 0
}

// whole is the number as an int, if it is one.
func whole(v ref.Val) (types.Int, bool) {
	switch v := v.(type) {
	case types.Int:
		return v, true
	case types.Uint:
		return types.Int(v), v <= math.MaxInt64
	case types.Double:
		return types.Int(v), float64(v) == math.Trunc(float64(v)) && math.Abs(float64(v)) <= exact
	}
	return 0, false
}

func double(v ref.Val) types.Double {
	switch v := v.(type) {
	case types.Int:
		return types.Double(v)
	case types.Uint:
		return types.Double(v)
	case types.Double:
		return v
	}
	return types.Double(math.NaN())
}
