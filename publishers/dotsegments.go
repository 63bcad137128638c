package publishers

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"orderbridge/internal/limits"
)

// Ids that change a path. A placeholder is percent-encoded, but servers, proxies
// and frameworks decode a path before they route it, some of them twice, and
// then clean it: "..%2Fadmin" is "../admin" to them, and leaves the path that
// the record names. So an id is judged by what it may become: by all ways of
// writing a dot, a separator or nothing at all that decoders are known to take.

// hasDotSegment reports whether s, decoded at most so many times (twice is seen
// in the field), has a segment that a server may take for a step in the path.
func hasDotSegment(s string) bool {
	if isPlain(s) {
		return false
	}
	for range limits.PathDecodes {
		if stepsAnywhere(s) {
			return true
		}
		decoded := decodeOnce(s)
		if stepsAnywhere(decoded) {
			return true
		}
		next := foldText(decoded)
		if next == s {
			return false
		}
		s = next
	}
	return stepsAnywhere(s)
}

// isPlain: neither a dot nor anything that may become one.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c == '.' || c == '%' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// stepsAnywhere looks at the segments between separators: / and \ everywhere,
// ; where path parameters are cut off (Tomcat: /..;/).
func stepsAnywhere(s string) bool {
	for segment := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '/' || r == '\\' || r == ';' }) {
		if isStep(segment) {
			return true
		}
		// What is decoded before it is taken apart ends here; and a colon begins
		// the name of a stream of a Windows file.
		if end := strings.IndexAny(segment, "?#:\x00"); end >= 0 && isStep(segment[:end]) {
			return true
		}
	}
	return false
}

// isStep reports whether a segment is . or .., by itself or once blanks and what
// cannot be seen are gone; dots with blanks between them or behind are what
// Windows cuts off.
func isStep(segment string) bool {
	dots, blanks := 0, 0
	for _, r := range segment {
		switch {
		case r == '.':
			dots++
		case r == '+' || unicode.IsSpace(r) || isIgnored(r):
			blanks++
		default:
			return false
		}
	}
	return dots == 1 || dots == 2 || dots > 2 && blanks > 0
}

// isIgnored: control and format characters, and bytes that are not UTF-8, which
// some decoders drop.
func isIgnored(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Mn, r) || r == utf8.RuneError
}

// decodeOnce decodes %XX, and the %uXXXX of old servers. What is not an escape stays.
func decodeOnce(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, hexByte(s[i+1])<<4|hexByte(s[i+2]))
			i += 2
		case s[i] == '%' && i+5 < len(s) && s[i+1]|0x20 == 'u' && isHex(s[i+2]) && isHex(s[i+3]) && isHex(s[i+4]) &&
			isHex(s[i+5]):
			r := rune(hexByte(s[i+2]))<<12 | rune(hexByte(s[i+3]))<<8 | rune(hexByte(s[i+4]))<<4 | rune(hexByte(s[i+5]))
			b = utf8.AppendRune(b, r)
			i += 5
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func hexByte(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}

// foldText replaces the other ways of writing ASCII: overlong UTF-8, the full
// width and small forms of Unicode, and what legacy code pages make of others.
func foldText(s string) string {
	ascii := true
	for i := range len(s) {
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	if ascii {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			if c, n := overlong(s[i:]); n > 0 {
				b, i = append(b, c), i+n
				continue
			}
			b, i = append(b, s[i]), i+1
			continue
		}
		i += size
		switch {
		case r >= '！' && r <= '～': // full width
			b = append(b, byte(r-'！'+'!'))
		case lookalikes[r] != "":
			b = append(b, lookalikes[r]...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// overlong reads an ASCII character that is written in more bytes than it needs
// (%C0%AE for a dot); n is 0 if there is none.
func overlong(s string) (c byte, n int) {
	length, value := 0, rune(0)
	switch lead := s[0]; {
	case lead&0xe0 == 0xc0:
		length, value = 2, rune(lead&0x1f)
	case lead&0xf0 == 0xe0:
		length, value = 3, rune(lead&0x0f)
	case lead&0xf8 == 0xf0:
		length, value = 4, rune(lead&0x07)
	case lead&0xfc == 0xf8:
		length, value = 5, rune(lead&0x03)
	case lead&0xfe == 0xfc:
		length, value = 6, rune(lead&0x01)
	default:
		return 0, 0
	}
	if len(s) < length {
		return 0, 0
	}
	for i := 1; i < length; i++ {
		// The bad ones, too, that only the low six bits of are looked at.
		value = value<<6 | rune(s[i]&0x3f)
	}
	if value >= utf8.RuneSelf {
		return 0, 0
	}
	return byte(value), length
}

// lookalikes become ASCII under compatibility normalization, or by the best fit
// of Windows code pages.
var lookalikes = map[rune]string{
	'․': ".", '‥': "..", '…': "...", '﹒': ".", '。': ".", '｡': ".",
	'⁄': "/", '∕': "/", '╱': "/", '⧸': "/",
	'﹨': `\`, '⧵': `\`, '∖': `\`, '¥': `\`, '₩': `\`, '￥': `\`, '￦': `\`,
	'﹔': ";", ';': ";", '﹪': "%", '٪': "%", '﹖': "?", '﹟': "#", '﹕': ":", '︰': "..", '︙': "...",
}
