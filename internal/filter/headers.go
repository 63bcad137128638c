package filter

import (
	"maps"
	"slices"
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"orderbridge/internal/limits"
)

// headers are those of an event as CEL sees them: a map of each name to its
// first value. Nothing is copied.
type headers struct {
	object // only for what is alike; its document is not used

	header map[string][]string
	names  func() []string // those that have a value
}

func headersOf(header map[string][]string) ref.Val {
	if len(header) > limits.FilterHeaders {
		return types.NewErr("the event has %d headers; at most %d are evaluated", len(header), limits.FilterHeaders)
	}
	return &headers{header: header, names: sync.OnceValue(func() []string {
		return slices.DeleteFunc(slices.Sorted(maps.Keys(header)), func(name string) bool { return len(header[name]) == 0 })
	})}
}

// Value implements ref.Val.
func (h *headers) Value() any { return h }

// ConvertToType implements ref.Val.
func (h *headers) ConvertToType(t ref.Type) ref.Val { return convert(h, t) }

// Size implements traits.Sizer.
func (h *headers) Size() ref.Val { return types.Int(len(h.names())) }

// Find implements traits.Mapper.
func (h *headers) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		if types.IsUnknownOrError(key) {
			return key, false
		}
		return nil, false
	}
	values := h.header[string(name)]
	if len(values) == 0 {
		return nil, false
	}
	return types.String(values[0]), true
}

// Get implements traits.Indexer.
func (h *headers) Get(key ref.Val) ref.Val {
	v, ok := h.Find(key)
	if !ok {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains implements traits.Container.
func (h *headers) Contains(key ref.Val) ref.Val {
	v, ok := h.Find(key)
	if !ok && v != nil {
		return v
	}
	return types.Bool(ok)
}

// Equal implements ref.Val.
func (h *headers) Equal(other ref.Val) ref.Val {
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != h.Size() {
		return types.False
	}
	for _, name := range h.names() {
		v, ok := m.Find(types.String(name))
		if !ok || types.Equal(types.String(h.header[name][0]), v) != types.True {
			return types.False
		}
	}
	return types.True
}

// Iterator implements traits.Iterable.
func (h *headers) Iterator() traits.Iterator {
	names := h.names()
	return &walk{size: len(names), get: func(i int) ref.Val { return types.String(names[i]) }}
}
