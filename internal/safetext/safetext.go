// Package safetext makes text of others safe to show: in a terminal, a log, a
// document that people open. What steers a terminal, turns the direction of
// writing around or cannot be seen is written as an escape.
package safetext

import (
	"bytes"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// JSON writes such characters of a JSON text as \uXXXX: the same JSON. They can
// stand within strings only; control characters below a space stand nowhere.
func JSON(b []byte) []byte {
	if !suspicious(b) {
		return b
	}
	out := make([]byte, 0, len(b)+64)
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if hidden(r) && size > 0 && !(r == utf8.RuneError && size == 1) {
			out = appendEscape(out, r)
		} else {
			out = append(out, b[i:i+size]...)
		}
		i += size
	}
	return out
}

// Lines is a text of lines; its line feeds and tabs stay.
func Lines(s string) string { return escape(s, true) }

func escape(s string, lines bool) string {
	clean := true
	for _, r := range s {
		if unsafe(r, lines) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	out := make([]byte, 0, len(s)+64)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(append(out, `\x`...), hex[s[i]>>4], hex[s[i]&15])
		case r == '\n' && !lines:
			out = append(out, `\n`...)
		case unsafe(r, lines):
			out = appendEscape(out, r)
		default:
			out = append(out, s[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

func unsafe(r rune, lines bool) bool {
	if r < ' ' {
		return !lines || r != '\n' && r != '\t'
	}
	return r == utf8.RuneError || hidden(r)
}

// hidden: DEL, C1, what turns or joins, separators of lines, what is blank and no space.
func hidden(r rune) bool {
	switch {
	case r < 0x7f:
		return false
	case r <= 0x9f:
		return true
	case r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x2800, r == 0x034f, r >= 0xfe00 && r <= 0xfe0f:
		return true
	}
	return unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

func suspicious(b []byte) bool {
	for _, c := range b {
		if c >= 0x7f {
			return true
		}
	}
	return false
}

const hex = "0123456789abcdef"

func appendEscape(b []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendEscape(appendEscape(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// Writer makes safe whatever goes through it, as a net below those who should
// have: each write holds whole characters. What is JSON stays the same JSON.
// Bold text may pass.
type Writer struct{ Under io.Writer }

const bold, plain = "\x1b[1m", "\x1b[0m"

func (w Writer) Write(b []byte) (int, error) {
	safe := b
	if suspicious(b) || bytes.ContainsFunc(b, func(r rune) bool { return unsafe(r, true) }) {
		var text strings.Builder
		for rest := string(b); rest != ""; {
			part, after, found := strings.Cut(rest, "\x1b")
			text.WriteString(Lines(part))
			if rest = after; !found {
				break
			}
			switch {
			case strings.HasPrefix(after, bold[1:]), strings.HasPrefix(after, plain[1:]):
				text.WriteByte(0x1b)
			default:
				text.WriteString(`\u001b`)
			}
		}
		safe = []byte(text.String())
	}
	if _, err := w.Under.Write(safe); err != nil {
		return 0, err
	}
	return len(b), nil
}
