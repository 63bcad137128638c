package filter

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// object and list are values of a document that hold others, as CEL sees them.
// Two of the same place are the same value.
type object struct {
	doc  *document
	node uint32
}

type list struct {
	doc  *document
	node uint32
}

var (
	_ traits.Mapper = (*object)(nil)
	_ traits.Lister = (*list)(nil)
	_ traits.Lister = (*joined)(nil)
)

var errNotNative = fmt.Errorf("a value of the event is not a Go value")

// ConvertToNative implements ref.Val.
func (*object) ConvertToNative(reflect.Type) (any, error) { return nil, errNotNative }

// ConvertToNative implements ref.Val.
func (*list) ConvertToNative(reflect.Type) (any, error) { return nil, errNotNative }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val { return convert(o, t) }

// ConvertToType implements ref.Val.
func (l *list) ConvertToType(t ref.Type) ref.Val { return convert(l, t) }

func convert(v ref.Val, t ref.Type) ref.Val {
	switch t {
	case v.Type():
		return v
	case types.TypeType:
		return v.Type().(ref.Val)
	}
	return types.NewErr("type conversion error from '%s' to '%s'", v.Type(), t)
}

// Type implements ref.Val.
func (*object) Type() ref.Type { return types.MapType }

// Type implements ref.Val.
func (*list) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// Value implements ref.Val.
func (l *list) Value() any { return l }

// weight is what a value costs where it is looked through: its values, and its text.
func (d *document) weight(n uint32) int {
	next := d.tape[n].next
	end := uint32(len(d.text))
	if int(next) < len(d.tape) {
		end = d.tape[next].at
	}
	return int(next-n) + int(end-d.tape[n].at)/10
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(len(o.doc.at(o.node).nodes)) }

// Size implements traits.Sizer.
func (l *list) Size() ref.Val { return types.Int(len(l.doc.at(l.node).nodes)) }

// Find implements traits.Mapper.
func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		if types.IsUnknownOrError(key) {
			return key, false
		}
		return nil, false
	}
	n, ok := o.doc.find(o.node, string(name))
	if !ok {
		return nil, false
	}
	return o.doc.value(n), true
}

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	v, ok := o.Find(key)
	if !ok {
		return types.ValOrErr(v, "no such key: %v", key)
	}
	return v
}

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	v, ok := o.Find(key)
	if !ok && v != nil {
		return v
	}
	return types.Bool(ok)
}

// Equal implements ref.Val.
func (o *object) Equal(other ref.Val) ref.Val {
	if same, ok := other.(*object); ok && *same == *o {
		return types.True
	}
	m, ok := other.(traits.Mapper)
	if !ok || m.Size() != o.Size() {
		return types.False
	}
	for _, n := range o.doc.at(o.node).nodes {
		v, ok := m.Find(o.doc.string(o.doc.tape[n].name))
		if !ok || types.Equal(o.doc.value(n), v) != types.True {
			return types.False
		}
	}
	return types.True
}

// Get implements traits.Indexer.
func (l *list) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	if err != nil {
		return types.ValOrErr(index, "%v", err)
	}
	nodes := l.doc.at(l.node).nodes
	if i < 0 || i >= len(nodes) {
		return types.NewErr("index out of bounds: %d", i)
	}
	return l.doc.value(nodes[i])
}

// Contains implements traits.Container.
func (l *list) Contains(value ref.Val) ref.Val { return contains(l, value) }

func contains(l traits.Lister, value ref.Val) ref.Val {
	if types.IsUnknownOrError(value) {
		return value
	}
	for it := l.Iterator(); it.HasNext() == types.True; {
		if types.Equal(it.Next(), value) == types.True {
			return types.True
		}
	}
	return types.False
}

// Equal implements ref.Val.
func (l *list) Equal(other ref.Val) ref.Val {
	if same, ok := other.(*list); ok && *same == *l {
		return types.True
	}
	return equal(l, other)
}

func equal(l traits.Lister, value ref.Val) ref.Val {
	other, ok := value.(traits.Lister)
	if !ok || other.Size() != l.Size() {
		return types.False
	}
	a, b := l.Iterator(), other.Iterator()
	for a.HasNext() == types.True && b.HasNext() == types.True {
		if types.Equal(a.Next(), b.Next()) != types.True {
			return types.False
		}
	}
	return types.True
}

// Add implements traits.Adder.
func (l *list) Add(other ref.Val) ref.Val { return join(l, other) }

// Iterator implements traits.Iterable: over the names of an object.
func (o *object) Iterator() traits.Iterator {
	nodes := o.doc.at(o.node).nodes
	return &walk{size: len(nodes), get: func(i int) ref.Val { return o.doc.string(o.doc.tape[nodes[i]].name) }}
}

// Iterator implements traits.Iterable.
func (l *list) Iterator() traits.Iterator {
	nodes := l.doc.at(l.node).nodes
	return &walk{size: len(nodes), get: func(i int) ref.Val { return l.doc.value(nodes[i]) }}
}

// walk is an iterator. It is a value of CEL's only in form.
type walk struct {
	types.Null
	at, size int
	get      func(int) ref.Val
}

// HasNext implements traits.Iterator.
func (w *walk) HasNext() ref.Val { return types.Bool(w.at < w.size) }

// Next implements traits.Iterator.
func (w *walk) Next() ref.Val {
	if w.at >= w.size {
		return nil
	}
	w.at++
	return w.get(w.at - 1)
}

// joined is one list behind another.
type joined struct {
	first, second traits.Lister
	split, size   int
}

func join(l traits.Lister, value ref.Val) ref.Val {
	other, ok := value.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(value)
	}
	a, aOK := l.Size().(types.Int)
	b, bOK := other.Size().(types.Int)
	switch {
	case !aOK || !bOK:
		return types.MaybeNoSuchOverloadErr(value)
	case a == 0:
		return other
	case b == 0:
		return l
	}
	return &joined{l, other, int(a), int(a + b)}
}

// ConvertToNative implements ref.Val.
func (*joined) ConvertToNative(reflect.Type) (any, error) { return nil, errNotNative }

// ConvertToType implements ref.Val.
func (l *joined) ConvertToType(t ref.Type) ref.Val { return convert(l, t) }

// Type implements ref.Val.
func (*joined) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *joined) Value() any { return l }

// Size implements traits.Sizer.
func (l *joined) Size() ref.Val { return types.Int(l.size) }

// Get implements traits.Indexer.
func (l *joined) Get(index ref.Val) ref.Val {
	i, err := types.GetOrError(index)
	if err != nil {
		return types.ValOrErr(index, "%v", err)
	}
	if i >= l.split {
		return l.second.Get(types.Int(i - l.split))
	}
	return l.first.Get(types.Int(i))
}

// Contains implements traits.Container.
func (l *joined) Contains(value ref.Val) ref.Val { return contains(l, value) }

// Equal implements ref.Val.
func (l *joined) Equal(other ref.Val) ref.Val { return equal(l, other) }

// Add implements traits.Adder.
func (l *joined) Add(other ref.Val) ref.Val { return join(l, other) }

// Iterator implements traits.Iterable.
func (l *joined) Iterator() traits.Iterator {
	return &walk{size: l.size, get: func(i int) ref.Val { return l.Get(types.Int(i)) }}
}
