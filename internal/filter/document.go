package filter

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"sync"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"orderbridge/internal/limits"
)

// document is the JSON of one event, for all filters that are asked about it.
// What it holds in memory beside the text is known before it is made (need) and
// made as it is asked for: where the members of an object are, where the
// elements of a list, and long texts.
type document struct {
	text []byte
	tape []node

	mu     sync.Mutex
	places map[uint32]*places
	texts  map[uint32]ref.Val // long strings, by where they begin
}

// places are where the values of an object or list are.
type places struct {
	nodes []uint32 // in the order of the text; of an object each name once
	table []uint32 // of an object: places in nodes, from 1, by hash
}

const (
	nodeBytes    = 12
	memberBytes  = 28 // nodes and table of an object, for each member, at most
	elementBytes = 12
	textBytes    = 3  // for each byte: itself, what it means, and what it takes to find that
	shortText    = 64 // bytes of a text that is not worth keeping
	few          = 16 // values of a container that are looked through
)

// need is how many bytes a document of that census takes, its text included.
func (c census) need(text []byte) int {
	return c.nodes*nodeBytes + c.members*memberBytes + c.elements*elementBytes + textBytes*len(text) + 512
}

// fill reads the text, whose census was taken.
func fill(text []byte, c census) *document {
	d := &document{text: text, tape: make([]node, c.nodes)}
	s := scanner{text: text, tape: d.tape}
	if s.scan() != nil {
		return nil
	}
	return d
}

// value is that of a node.
func (d *document) value(n uint32) ref.Val {
	at := d.tape[n].at
	switch d.text[at] {
	case '{':
		return &object{d, n}
	case '[':
		return &list{d, n}
	case '"':
		return d.string(at)
	case 't':
		return types.True
	case 'f':
		return types.False
	case 'n':
		return types.NullValue
	}
	literal := d.text[at:numberEnd(d.text, int(at))]
	if len(literal) > limits.FilterNumberDigits {
		return types.NewErr("a number of %d characters; at most %d are evaluated", len(literal), limits.FilterNumberDigits)
	}
	return types.DefaultTypeAdapter.NativeToValue(number(string(literal)))
}

// string is the one whose quote is at a place.
func (d *document) string(at uint32) ref.Val {
	if end := bytes.IndexByte(d.text[at+1:min(int(at)+shortText+2, len(d.text))], '"'); end >= 0 {
		if raw := d.text[at+1 : int(at)+1+end]; literal(raw) {
			return types.String(raw)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if v := d.texts[at]; v != nil {
		return v
	}
	v := types.String(unquote(d.text[at:stringEnd(d.text, int(at))]))
	if len(v) > shortText {
		if d.texts == nil {
			d.texts = map[uint32]ref.Val{}
		}
		d.texts[at] = v
	}
	return v
}

// literal tells whether what stands between quotes means itself.
func literal(raw []byte) bool { return bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) }

// unquote is what a string in JSON means.
func unquote(quoted []byte) string {
	if raw := quoted[1 : len(quoted)-1]; literal(raw) {
		return string(raw)
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return ""
	}
	return s
}

// quoted is the name of a node as it stands in the text.
func (d *document) quoted(n uint32) []byte {
	at := int(d.tape[n].name)
	return d.text[at:stringEnd(d.text, at)]
}

// named tells whether that is the name of a node.
func (d *document) named(n uint32, name string) bool {
	quoted := d.quoted(n)
	if raw := quoted[1 : len(quoted)-1]; literal(raw) {
		return string(raw) == name
	}
	return unquote(quoted) == name
}

var seed = maphash.MakeSeed() // nobody can choose names that fall together

// at are the places of the values of a container; those of a large one are kept.
func (d *document) at(n uint32) *places {
	small := d.tape[n].next-n <= few
	if !small {
		d.mu.Lock()
		defer d.mu.Unlock()
		if p := d.places[n]; p != nil {
			return p
		}
	}
	p := d.list(n)
	if d.text[d.tape[n].at] == '{' {
		p = d.index(p.nodes)
	}
	if !small {
		if d.places == nil {
			d.places = map[uint32]*places{}
		}
		d.places[n] = p
	}
	return p
}

func (d *document) list(n uint32) *places {
	count, end := 0, d.tape[n].next
	for k := n + 1; k < end; k = d.tape[k].next {
		count++
	}
	p := &places{nodes: make([]uint32, 0, count)}
	for k := n + 1; k < end; k = d.tape[k].next {
		p.nodes = append(p.nodes, k)
	}
	return p
}

// index makes a table of the members. Of two of one name the last counts.
func (d *document) index(members []uint32) *places {
	size := 4
	for size < 2*len(members) {
		size *= 2
	}
	p := &places{nodes: members[:0], table: make([]uint32, size)}
	for _, n := range members {
		name := unquote(d.quoted(n))
		slot, found := d.slot(p, name)
		if found {
			p.nodes[p.table[slot]-1] = n
			continue
		}
		p.nodes = append(p.nodes, n)
		p.table[slot] = uint32(len(p.nodes))
	}
	return p
}

// slot is where a name stands in the table, or would.
func (d *document) slot(p *places, name string) (slot int, found bool) {
	mask := len(p.table) - 1
	slot = int(maphash.String(seed, name)) & mask
	for ; p.table[slot] != 0; slot = (slot + 1) & mask {
		if d.named(p.nodes[p.table[slot]-1], name) {
			return slot, true
		}
	}
	return slot, false
}

// find is the member of that name; false if the object has none.
func (d *document) find(n uint32, name string) (member uint32, ok bool) {
	end := d.tape[n].next
	k := n + 1
	for range few {
		if k == end {
			return member, ok
		}
		if d.named(k, name) {
			member, ok = k, true
		}
		k = d.tape[k].next
	}
	if k == end {
		return member, ok
	}
	p := d.at(n)
	slot, ok := d.slot(p, name)
	if !ok {
		return 0, false
	}
	return p.nodes[p.table[slot]-1], true
}
