package publishers

import (
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"orderbridge/internal/limits"
)

// What is written in escapes can be written in many ways: each library escapes
// other characters. So a text is also read without its escapes, and what is found
// there is hidden where it came from.

// view is a text as somebody else would read it, in lower case.
type view struct {
	text     string
	from, to []int // where each byte of it stands in the text that is shown
}

// readViews are the views of a text: in lower case, then decoded a few times.
func readViews(text string) (views []view) {
	if strings.IndexFunc(text, func(r rune) bool { return r == '%' || r == '&' || r == '\\' || r >= utf8.RuneSelf }) < 0 {
		return nil
	}
	v := view{text: text, from: make([]int, len(text)), to: make([]int, len(text))}
	for i := range len(text) {
		v.from[i], v.to[i] = i, i+1
	}
	v = v.mapped(fold)
	views = append(views, v)
	for range limits.ForeignTextDecodes {
		next := v.mapped(readEscape).mapped(fold)
		if next.text == v.text {
			break
		}
		v = next
		views = append(views, v)
	}
	return views
}

// mapped replaces what step takes from the beginning of a text.
func (v view) mapped(step func(s string) (out string, taken int)) view {
	out := view{from: make([]int, 0, len(v.text)), to: make([]int, 0, len(v.text))}
	var b strings.Builder
	for i := 0; i < len(v.text); {
		text, n := step(v.text[i:])
		if n == 0 {
			text, n = v.text[i:i+1], 1
		}
		b.WriteString(text)
		for range len(text) {
			out.from, out.to = append(out.from, v.from[i]), append(out.to, v.to[i+n-1])
		}
		i += n
	}
	out.text = b.String()
	return out
}

// fold: letter case apart, and + for the blank that it is in a query.
func fold(s string) (string, int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError:
		return "", 0
	case r == '+':
		return " ", 1
	}
	return string(unicode.ToLower(r)), n
}

func folded(s string) string {
	return view{text: s, from: make([]int, len(s)), to: make([]int, len(s))}.mapped(fold).text
}

// readEscape reads one escape of a URL, of HTML or of a quoted string.
func readEscape(s string) (string, int) {
	switch s[0] {
	case '%':
		return hexEscape(s)
	case '&':
		end := strings.IndexByte(s[:min(len(s), 12)], ';')
		if end < 0 {
			return "", 0
		}
		if text := html.UnescapeString(s[:end+1]); text != s[:end+1] {
			return text, end + 1
		}
	case '\\':
		return quotedEscape(s)
	}
	return "", 0
}

func hexEscape(s string) (string, int) {
	if len(s) < 3 || !isHex(s[1]) || !isHex(s[2]) {
		return "", 0
	}
	return string([]byte{hexByte(s[1])<<4 | hexByte(s[2])}), 3
}

func quotedEscape(s string) (string, int) {
	if len(s) < 2 {
		return "", 0
	}
	switch s[1] {
	case 'x':
		text, n := hexEscape(s[1:])
		if n == 0 {
			return "", 0
		}
		return text, n + 1
	case 'u':
		r, ok := unicodeEscape(s)
		switch {
		case !ok:
			return "", 0
		case !utf16.IsSurrogate(r):
			return string(r), 6
		}
		if second, ok := unicodeEscape(s[6:]); ok {
			return string(utf16.DecodeRune(r, second)), 12
		}
	case '"', '\'', '\\', '/':
		return s[1:2], 2
	}
	return "", 0
}

func unicodeEscape(s string) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[2:6], 16, 16)
	return rune(n), err == nil
}
