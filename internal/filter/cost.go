package filter

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// prices charges each call by the size of its arguments. CEL's own prices are
// those of the types that it knows beforehand: of a value of the event, whose
// type it does not know, it takes most calls as free of its size.
type prices struct{}

// CallCost implements cost.ActualCostEstimator.
func (prices) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	cost := 1
	switch function {
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		for _, a := range args {
			cost += deep(a, maxCost)
		}
	case "matches":
		if len(args) == 2 {
			cost += (1 + length(args[0])/10) * (1 + length(args[1])/4)
		}
	default:
		for _, a := range args {
			cost += length(a) / 10
		}
	}
	n := uint64(cost)
	return &n
}

// length is that of a text, in bytes; 0 for all else.
func length(v ref.Val) int {
	switch v := v.(type) {
	case types.String:
		return len(v)
	case types.Bytes:
		return len(v)
	}
	return 0
}

// deep is what comparing a value may cost, about most at the utmost.
func deep(v any, most int) int {
	n := 1
	switch v := v.(type) {
	case types.Bool, types.Int, types.Double, types.Uint, types.Null:
	case types.String:
		n += len(v) / 10
	case string:
		n += len(v) / 10
	case map[string]any:
		for k, x := range v {
			if n += 1 + len(k)/10 + deep(x, most-n); n > most {
				break
			}
		}
	case []any:
		for _, x := range v {
			if n += deep(x, most-n); n > most {
				break
			}
		}
	case []ref.Val:
		for _, x := range v {
			if n += deep(x, most-n); n > most {
				break
			}
		}
	case map[ref.Val]ref.Val:
		for k, x := range v {
			if n += deep(k, most-n) + deep(x, most-n); n > most {
				break
			}
		}
	case ref.Val:
		if most > 0 {
			n += deep(v.Value(), most-n)
		}
	case []byte:
		n += len(v) / 10
	}
	return n
}
