package filter

import (
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"orderbridge/internal/limits"
)

// prices charges each call by the size of its arguments. CEL's own prices are
// those of the types that it knows beforehand: of a value of the event, whose
// type it does not know, it takes most calls as free of its size.
type prices struct{}

// CallCost implements cost.ActualCostEstimator.
func (prices) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := 1
	switch function {
	case construct:
		cost = elementCost(result)
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		for _, a := range args {
			cost += deep(a, limits.FilterCost)
		}
	case matching:
		if len(args) == 2 {
			cost += matchCost(args[0], args[1])
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
func deep(v ref.Val, most int) int {
	n := 1
	switch v := v.(type) {
	case types.String, types.Bytes:
		return n + length(v)/10
	case *object:
		return n + v.doc.weight(v.node)
	case *list:
		return n + v.doc.weight(v.node)
	case *joined:
		if n += deep(v.first, most-n); n > most {
			return n
		}
		return n + deep(v.second, most-n)
	case traits.Lister:
		for it := v.Iterator(); n <= most && it.HasNext() == types.True; {
			n += deep(it.Next(), most-n)
		}
	case traits.Mapper:
		for it := v.Iterator(); n <= most && it.HasNext() == types.True; {
			key := it.Next()
			n += deep(key, most-n)
			if value, ok := v.Find(key); ok {
				n += deep(value, most-n)
			}
		}
	}
	return n
}
