package http1

import (
	"bytes"

	"orderbridge/internal/limits"
)

// The fields of a head, and what they say of the body.

// headLine reads a field, or the empty line after them.
func (p *parser) headLine(b []byte) int {
	line, n, whole, long := p.nextLine(b, limits.AnswerHeadBytes-p.headBytes)
	if long {
		if p.decided() {
			p.cutShort("a head of more than 64 KiB")
		} else {
			p.refuse("heads of more than 64 KiB before the answer")
		}
		return n
	}
	if !whole {
		return n
	}
	p.headBytes += len(line) + 1
	if line = p.trimCR(line); len(line) == 0 {
		p.endHead()
		return n
	}
	if p.fields++; p.fields > limits.AnswerFields {
		p.doubts("more than 256 fields")
	}
	name, value, ok := splitField(line)
	if !ok {
		p.doubts("a field that is none")
		return n
	}
	p.field(name, value)
	if p.notes != nil && p.decided() {
		p.notes.Field(line)
	}
	return n
}

// field takes what matters from a field of the head.
func (p *parser) field(name, value []byte) {
	switch {
	case is(name, "content-length"):
		p.lengths++
		p.length, p.badLength = parseLength(value)
		if p.lengths > 1 {
			p.badLength = true
		}
	case is(name, "transfer-encoding"):
		p.codings++
		p.chunked = p.codings == 1 && is(value, "chunked")
	case is(name, "connection"):
		for option := range bytes.SplitSeq(value, []byte{','}) {
			switch option = trim(option); {
			case is(option, "close"):
				p.close = true
			case is(option, "keep-alive"):
				p.keepAlive = true
			}
		}
	case is(name, "keep-alive"):
		p.hint(value)
	case is(name, "retry-after"):
		if p.decided() && p.retryAfter == "" {
			p.retryAfter = string(value[:min(len(value), 64)])
		}
	}
}

// hint reads Keep-Alive: timeout=N, max=N.
func (p *parser) hint(value []byte) {
	for option := range bytes.SplitSeq(value, []byte{','}) {
		name, number, _ := bytes.Cut(trim(option), []byte{'='})
		n, bad := parseLength(trim(number))
		switch {
		case bad:
		case is(trim(name), "timeout") && n <= 1, is(trim(name), "max") && n == 0:
			p.close = true
		case is(trim(name), "timeout"):
			p.keepFor = int(min(n-1, 3600))
		}
	}
}

// endHead decides how the body is framed; nothing else does.
func (p *parser) endHead() {
	if !p.decided() {
		if p.lengths > 0 || p.codings > 0 || p.close {
			p.doubts("an interim answer with a field that frames")
		}
		if p.interim++; p.interim > limits.AnswerInterim {
			p.refuse("more than 32 interim answers")
			return
		}
		p.phase = inStatus
		return
	}
	switch {
	case p.status == 101:
		p.doubts("101: the connection is no longer HTTP")
		p.phase = ended
	case p.head || p.status == 204 || p.status == 304:
		if p.codings > 0 || p.badLength || p.status == 204 && p.lengths > 0 && p.length > 0 {
			p.doubts("a length where no body may be")
		}
		p.phase = ended
	case p.codings > 0:
		if p.lengths > 0 || p.minor != 1 {
			p.doubts("Transfer-Encoding beside Content-Length or in HTTP/1.0")
		}
		p.phase = inChunkSize
		if !p.chunked {
			p.rest("a Transfer-Encoding that is not one chunked")
		}
	case p.badLength:
		p.rest("a Content-Length that is not one number")
	case p.lengths == 0:
		p.rest("an answer without a length")
	case p.length == 0:
		p.phase = ended
	case p.length > limits.AnswerBodyBytes && p.success():
		p.cutShort("a body of more than 64 KiB")
	default:
		if p.phase, p.left = inBody, p.length; p.length > limits.AnswerBodyBytes {
			p.doubts("a body of more than 64 KiB")
		}
	}
}

// rest: where the body ends only the connection's end tells.
func (p *parser) rest(why string) {
	p.doubts(why)
	p.phase = inRest
}

// splitField takes a field apart; ok is false where it is none: folded, without
// a colon, a name that is not a token, a control character in the value.
func splitField(line []byte) (name, value []byte, ok bool) {
	colon := 0
	for colon < len(line) && isToken(line[colon]) {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' {
		return nil, nil, false
	}
	if value = line[colon+1:]; !isText(value) {
		return nil, nil, false
	}
	return line[:colon], trim(value), true
}

// parseLength reads at most 18 digits, and nothing else.
func parseLength(value []byte) (n int64, bad bool) {
	if len(value) == 0 || len(value) > 18 {
		return 0, true
	}
	for _, c := range value {
		if !isDigit(c) {
			return 0, true
		}
		n = n*10 + int64(c-'0')
	}
	return n, false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func unhex(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// tokens are the bytes of which names may consist (RFC 9110, 5.6.2).
var tokens = func() (t [256]bool) {
	for c := range 256 {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func isToken(c byte) bool { return tokens[c] }

// isText: no control character but TAB.
func isText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func trim(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// is compares without case; want is in small letters.
func is(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}
