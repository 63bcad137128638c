package filter

import (
	"errors"
	"fmt"

	"orderbridge/internal/limits"
)

// The JSON of an event is read once, into a list of its values in the order of
// the text: where each begins, where its name begins, and which follows it and
// all that it holds. Nothing is taken out of the text until a filter asks.

// node is a value.
type node struct {
	at   uint32 // in the text
	name uint32 // where the quote before its name is, 0 if it has none
	next uint32 // node that follows, not one within it
}

var (
	errSyntax = errors.New("it is not JSON")
	errMore   = errors.New("more follows the first value")
)

// census is how many values of a kind a text holds.
type census struct{ nodes, members, elements int }

// level is a value that is open where the scanner stands.
type level struct {
	node   uint32
	object bool
}

// scanner walks a JSON text as encoding/json would have it (RFC 8259). Without
// a tape it only counts.
type scanner struct {
	text  []byte
	tape  []node
	count census
	stack [limits.FilterDepth]level
	depth int
}

// scan reads the one value that a text holds.
func (s *scanner) scan() error {
	name := 0
	for i := 0; ; {
		i = s.space(i)
		if i >= len(s.text) {
			return errSyntax
		}
		open, end := s.value(i, name)
		switch {
		case end < 0:
			return errSyntax
		case s.count.nodes > limits.FilterValues:
			return fmt.Errorf("it holds more than %d values", limits.FilterValues)
		case open:
			if s.depth == len(s.stack) {
				return fmt.Errorf("it nests deeper than %d levels", len(s.stack))
			}
			s.stack[s.depth] = level{uint32(s.count.nodes - 1), s.text[i] == '{'}
			s.depth++
		}
		var done bool
		if i, name, done = s.after(end, open); done {
			if i < 0 {
				return errSyntax
			}
			if i < len(s.text) {
				return errMore
			}
			return nil
		}
	}
}

// value takes note of the value that begins at i; open says that it may hold others.
func (s *scanner) value(i, name int) (open bool, end int) {
	if s.tape != nil {
		s.tape[s.count.nodes] = node{uint32(i), uint32(name), uint32(s.count.nodes + 1)}
	}
	s.count.nodes++
	switch c := s.text[i]; {
	case c == '{' || c == '[':
		return true, i + 1
	case c == '"':
		return false, stringEnd(s.text, i)
	case c == '-' || c >= '0' && c <= '9':
		return false, numberEnd(s.text, i)
	default:
		for _, word := range [...]string{"true", "false", "null"} {
			if len(s.text)-i >= len(word) && string(s.text[i:i+len(word)]) == word {
				return false, i + len(word)
			}
		}
		return false, -1
	}
}

// after goes to where the next value begins. It closes what ends before that;
// done says that the outermost value has ended, or (i < 0) that the text is not JSON.
func (s *scanner) after(i int, opened bool) (next, name int, done bool) {
	for ; ; opened = false {
		i = s.space(i)
		if s.depth == 0 {
			return i, 0, true
		}
		if i >= len(s.text) {
			return -1, 0, true
		}
		in := s.stack[s.depth-1]
		object, c := in.object, s.text[i]
		switch {
		case object && c == '}' || !object && c == ']':
			s.depth--
			if s.tape != nil {
				s.tape[in.node].next = uint32(s.count.nodes)
			}
			i++
			continue
		case opened:
		case c != ',':
			return -1, 0, true
		default:
			i = s.space(i + 1)
		}
		if !object {
			s.count.elements++
			return i, 0, false
		}
		s.count.members++
		return s.member(i)
	}
}

// member reads the name that begins at i.
func (s *scanner) member(i int) (next, name int, done bool) {
	if i >= len(s.text) || s.text[i] != '"' {
		return -1, 0, true
	}
	end := stringEnd(s.text, i)
	if end < 0 {
		return -1, 0, true
	}
	if end = s.space(end); end >= len(s.text) || s.text[end] != ':' {
		return -1, 0, true
	}
	return end + 1, i, false
}

func (s *scanner) space(i int) int {
	for i < len(s.text) {
		switch s.text[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// stringEnd is behind the string whose quote is at i, -1 if it is none.
func stringEnd(text []byte, i int) int {
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			if i++; i >= len(text) {
				return -1
			}
			switch text[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(text) || !hex(text[i+1]) || !hex(text[i+2]) || !hex(text[i+3]) || !hex(text[i+4]) {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

func hex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// numberEnd is behind the number at i, -1 if it is none.
func numberEnd(text []byte, i int) int {
	if text[i] == '-' {
		i++
	}
	switch {
	case i >= len(text):
		return -1
	case text[i] == '0':
		i++
	default:
		if i = digitsEnd(text, i); i < 0 {
			return -1
		}
	}
	if i < len(text) && text[i] == '.' {
		if i = digitsEnd(text, i+1); i < 0 {
			return -1
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		return digitsEnd(text, i)
	}
	return i
}

// digitsEnd is behind at least one digit, -1 if there is none.
func digitsEnd(text []byte, i int) int {
	begin := i
	for i < len(text) && text[i] >= '0' && text[i] <= '9' {
		i++
	}
	if i == begin {
		return -1
	}
	return i
}
