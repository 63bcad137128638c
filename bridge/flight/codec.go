package flight

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// codec writes values of one type, and reads them back: positions instead of
// names, varints, no padding. What it is to be for a type follows from the type
// alone, but for what is left out (light.go).
type codec struct {
	put func(w *writer, p unsafe.Pointer) // p points to the value
	get func(r *reader, p unsafe.Pointer) // p points to a zero value
}

// writer collects what codecs write.
type writer struct {
	buf   []byte
	most  int // bytes; beyond it the writing ends with errTooLarge
	graph bool
	seen  map[ref]uint64 // of a graph: the numbers of what was written already
	count uint64
	hide  func(origin string) string // what stands for it
}

// reader reads it. What cannot be read ends with a panic of errDamaged.
type reader struct {
	data  []byte
	at    int
	graph bool
	seen  []reflect.Value // of a graph, by number

	filler []byte // stands for the data of all events
}

// ref is a place in memory that something of this type begins at.
type ref struct {
	p unsafe.Pointer
	t reflect.Type
}

var (
	errTooLarge = errors.New("too large to be recorded")
	errDamaged  = errors.New("the trace is damaged")
)

// codecs makes the codec of each type, once. It is for one goroutine.
type codecs struct {
	made   map[reflect.Type]*codec
	listed map[reflect.Type]*listed // the types that stand in interfaces
	types  []reflect.Type           // these by number

	start, machine, input *codec
	special               map[reflect.Type]func(cs *codecs) codec
	shape                 strings.Builder           // of all types
	keep                  map[reflect.Type][]string // the only members that are written
	drop                  map[reflect.Type][]string // those that are not
}

// listed is a type that may stand in an interface.
type listed struct {
	number uint64
	codec  *codec
	spare  reflect.Value  // room for a copy, which has an address
	to     unsafe.Pointer // of a pointer: the same
}

func (cs *codecs) of(t reflect.Type) *codec {
	if c := cs.made[t]; c != nil {
		return c
	}
	c := new(codec)
	cs.made[t] = c // before it is made: types hold themselves
	*c = cs.build(t)
	return c
}

func (cs *codecs) build(t reflect.Type) codec {
	if special := cs.special[t]; special != nil {
		return special(cs)
	}
	switch t.Kind() {
	case reflect.Bool:
		return codec{func(w *writer, p unsafe.Pointer) { w.flag(*(*bool)(p)) }, func(r *reader, p unsafe.Pointer) { *(*bool)(p) = r.flag() }}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return codec{func(w *writer, p unsafe.Pointer) { w.int(loadInt(p, t.Size())) }, func(r *reader, p unsafe.Pointer) { storeInt(p, t.Size(), r.int()) }}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return codec{func(w *writer, p unsafe.Pointer) { w.uint(loadUint(p, t.Size())) },
			func(r *reader, p unsafe.Pointer) { storeInt(p, t.Size(), int64(r.uint())) }}
	case reflect.Float64:
		return codec{func(w *writer, p unsafe.Pointer) { w.uint(math.Float64bits(*(*float64)(p))) },
			func(r *reader, p unsafe.Pointer) { *(*float64)(p) = math.Float64frombits(r.uint()) }}
	case reflect.String:
		return codec{func(w *writer, p unsafe.Pointer) { w.string(*(*string)(p)) }, func(r *reader, p unsafe.Pointer) { *(*string)(p) = r.string() }}
	case reflect.Struct:
		return cs.ofStruct(t)
	case reflect.Array:
		return cs.ofArray(t)
	case reflect.Slice:
		return cs.ofSlice(t)
	case reflect.Map:
		return cs.ofMap(t)
	case reflect.Pointer:
		return cs.ofPointer(t)
	case reflect.Interface:
		return cs.ofInterface(t)
	default:
		panic(fmt.Sprintf("flight: a machine that holds a %s cannot be recorded", t))
	}
}

// layout tells apart builds that cannot read each other's files.
func (cs *codecs) layout() string {
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(cs.shape.String())))
}

// writes tells whether a member is written.
func (cs *codecs) writes(t reflect.Type, member string) bool {
	if keep, some := cs.keep[t]; some && !slices.Contains(keep, member) {
		return false
	}
	return !slices.Contains(cs.drop[t], member)
}

func (cs *codecs) ofStruct(t reflect.Type) codec {
	type field struct {
		offset uintptr
		codec  *codec
	}
	var fields []field
	for i := range t.NumField() {
		if f := t.Field(i); cs.writes(t, f.Name) {
			fmt.Fprintf(&cs.shape, "%s.%s %s\n", t, f.Name, f.Type)
			fields = append(fields, field{f.Offset, cs.of(f.Type)})
		}
	}
	return codec{
		func(w *writer, p unsafe.Pointer) {
			for i := range fields {
				fields[i].codec.put(w, unsafe.Add(p, fields[i].offset))
			}
		},
		func(r *reader, p unsafe.Pointer) {
			for i := range fields {
				fields[i].codec.get(r, unsafe.Add(p, fields[i].offset))
			}
		},
	}
}

func (cs *codecs) ofArray(t reflect.Type) codec {
	elem, size, n := cs.of(t.Elem()), t.Elem().Size(), t.Len()
	return codec{
		func(w *writer, p unsafe.Pointer) {
			for i := range n {
				elem.put(w, unsafe.Add(p, uintptr(i)*size))
			}
		},
		func(r *reader, p unsafe.Pointer) {
			for i := range n {
				elem.get(r, unsafe.Add(p, uintptr(i)*size))
			}
		},
	}
}

func (cs *codecs) ofSlice(t reflect.Type) codec {
	elem, size := cs.of(t.Elem()), t.Elem().Size()
	return codec{
		func(w *writer, p unsafe.Pointer) {
			v := reflect.NewAt(t, p).Elem()
			if v.IsNil() {
				w.uint(0)
				return
			}
			w.uint(uint64(v.Len()) + 1)
			base := v.UnsafePointer()
			for i := range v.Len() {
				w.check()
				elem.put(w, unsafe.Add(base, uintptr(i)*size))
			}
		},
		func(r *reader, p unsafe.Pointer) {
			n, ok := r.length()
			if !ok {
				return
			}
			v := reflect.NewAt(t, p).Elem()
			v.Set(reflect.MakeSlice(t, 0, min(n, 1024))) // who knows whether there are so many
			for i := range n {
				if i == v.Cap() {
					v.Grow(1)
				}
				v.SetLen(i + 1)
				elem.get(r, unsafe.Add(v.UnsafePointer(), uintptr(i)*size))
			}
		},
	}
}

func (cs *codecs) ofMap(t reflect.Type) codec {
	key, elem := cs.of(t.Key()), cs.of(t.Elem())
	return codec{
		func(w *writer, p unsafe.Pointer) {
			v := reflect.NewAt(t, p).Elem()
			if v.IsNil() {
				w.uint(0)
				return
			}
			if w.known(ref{v.UnsafePointer(), t}) {
				return
			}
			w.uint(uint64(v.Len()) + 1)
			k, e := reflect.New(t.Key()), reflect.New(t.Elem())
			for it := v.MapRange(); it.Next(); {
				k.Elem().SetIterKey(it)
				e.Elem().SetIterValue(it)
				w.check()
				key.put(w, k.UnsafePointer())
				elem.put(w, e.UnsafePointer())
			}
		},
		func(r *reader, p unsafe.Pointer) {
			n, ok := r.length()
			if !ok {
				return
			}
			v := reflect.MakeMapWithSize(t, min(n, 1024))
			reflect.NewAt(t, p).Elem().Set(v)
			for range n {
				k, e := reflect.New(t.Key()), reflect.New(t.Elem())
				key.get(r, k.UnsafePointer())
				elem.get(r, e.UnsafePointer())
				v.SetMapIndex(k.Elem(), e.Elem())
			}
		},
	}
}

// ofPointer: in a graph what is written once is named by its number from then on.
func (cs *codecs) ofPointer(t reflect.Type) codec {
	elem := cs.of(t.Elem())
	return codec{
		func(w *writer, p unsafe.Pointer) {
			to := *(*unsafe.Pointer)(p)
			if to == nil {
				w.uint(0)
				return
			}
			if w.graph {
				if n, ok := w.seen[ref{to, t}]; ok {
					w.uint(n + 2)
					return
				}
				w.seen[ref{to, t}] = w.count
				w.count++
			}
			w.uint(1)
			elem.put(w, to)
		},
		func(r *reader, p unsafe.Pointer) {
			n := r.uint()
			switch {
			case n == 0:
				return
			case n == 1:
				v := reflect.New(t.Elem())
				if r.graph {
					r.seen = append(r.seen, v)
				}
				*(*unsafe.Pointer)(p) = v.UnsafePointer()
				elem.get(r, v.UnsafePointer())
			case n-2 >= uint64(len(r.seen)) || r.seen[n-2].Type() != t:
				panic(errDamaged)
			default:
				*(*unsafe.Pointer)(p) = r.seen[n-2].UnsafePointer()
			}
		},
	}
}

func (cs *codecs) ofInterface(t reflect.Type) codec {
	return codec{
		func(w *writer, p unsafe.Pointer) {
			v := reflect.NewAt(t, p).Elem().Elem()
			if !v.IsValid() {
				w.uint(0)
				return
			}
			l := cs.listed[v.Type()]
			if l == nil {
				panic(fmt.Sprintf("flight: an interface holds a %s, which flight/light.go does not list", v.Type()))
			}
			w.uint(l.number + 1)
			if v.Kind() == reflect.Pointer {
				l.to = v.UnsafePointer()
				l.codec.put(w, pointer(&l.to))
				l.to = nil
				return
			}
			room := l.spare
			if l.spare = (reflect.Value{}); !room.IsValid() { // one of its kind is within it
				room = reflect.New(v.Type())
			}
			room.Elem().Set(v)
			l.codec.put(w, room.UnsafePointer())
			room.Elem().SetZero()
			l.spare = room
		},
		func(r *reader, p unsafe.Pointer) {
			n := r.uint()
			if n == 0 {
				return
			}
			if n > uint64(len(cs.types)) || !cs.types[n-1].AssignableTo(t) {
				panic(errDamaged)
			}
			v := reflect.New(cs.types[n-1])
			cs.listed[cs.types[n-1]].codec.get(r, v.UnsafePointer())
			reflect.NewAt(t, p).Elem().Set(v.Elem())
		},
	}
}

// known: maps have no numbers; none may stand in a graph twice.
func (w *writer) known(x ref) bool {
	if !w.graph {
		return false
	}
	if _, ok := w.seen[x]; ok {
		panic(fmt.Sprintf("flight: two hold the same %s", x.t))
	}
	w.seen[x] = math.MaxUint64
	return false
}

// pointer gives a codec its value. Members that are not exported can be read and
// written in no other way.
func pointer[T any](p *T) unsafe.Pointer {
	return unsafe.Pointer(p) //nolint:gosec // each codec is made for the type that it is used for
}

// ---- primitives

func (w *writer) uint(x uint64) { w.buf = binary.AppendUvarint(w.buf, x) }
func (w *writer) int(x int64)   { w.buf = binary.AppendVarint(w.buf, x) }

func (w *writer) flag(x bool) {
	if x {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

func (w *writer) string(s string) {
	w.uint(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) check() {
	if len(w.buf) > w.most {
		panic(errTooLarge)
	}
}

func (r *reader) uint() uint64 {
	x, n := binary.Uvarint(r.data[r.at:])
	if n <= 0 {
		panic(errDamaged)
	}
	r.at += n
	return x
}

func (r *reader) int() int64 {
	x, n := binary.Varint(r.data[r.at:])
	if n <= 0 {
		panic(errDamaged)
	}
	r.at += n
	return x
}

func (r *reader) flag() bool {
	if r.at >= len(r.data) || r.data[r.at] > 1 {
		panic(errDamaged)
	}
	r.at++
	return r.data[r.at-1] == 1
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(len(r.data)-r.at) {
		panic(errDamaged)
	}
	s := string(r.data[r.at : r.at+int(n)])
	r.at += int(n)
	return s
}

// length of a slice or map; false: it is nil.
func (r *reader) length() (int, bool) {
	n := r.uint()
	if n > uint64(len(r.data)-r.at)+1 { // each element takes a byte at least
		panic(errDamaged)
	}
	return int(n) - 1, n > 0
}

func loadInt(p unsafe.Pointer, size uintptr) int64 {
	switch size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	default:
		return *(*int64)(p)
	}
}

func loadUint(p unsafe.Pointer, size uintptr) uint64 {
	switch size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	default:
		return *(*uint64)(p)
	}
}

func storeInt(p unsafe.Pointer, size uintptr, x int64) {
	switch size {
	case 1:
		*(*int8)(p) = int8(x)
	case 2:
		*(*int16)(p) = int16(x)
	case 4:
		*(*int32)(p) = int32(x)
	default:
		*(*int64)(p) = x
	}
}

// ---- times

func ofTime(*codecs) codec {
	return codec{
		func(w *writer, p unsafe.Pointer) {
			t := *(*time.Time)(p)
			w.flag(!t.IsZero())
			if !t.IsZero() {
				w.int(t.Unix())
				w.uint(uint64(t.Nanosecond()))
			}
		},
		func(r *reader, p unsafe.Pointer) {
			if r.flag() {
				sec := r.int()
				*(*time.Time)(p) = time.Unix(sec, int64(r.uint())).UTC()
			}
		},
	}
}
