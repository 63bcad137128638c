package http1

import "orderbridge/internal/limits"

// A body in chunks. Here nothing is lenient: what is not exactly as the
// standard says makes the end of the body a matter of opinion.

// chunkLine: 1 to 15 hex digits, blanks, extensions, CRLF.
func (p *parser) chunkLine(b []byte) int {
	line, n, whole, long := p.nextLine(b, limits.AnswerChunkLineBytes)
	if long {
		p.rest("a chunk's line of more than 4 KiB")
		return n
	}
	if !whole {
		return n
	}
	if p.surplus += len(line) + 1; p.surplus > limits.AnswerSurplusBytes {
		p.cutShort("chunks that cost more than 16 KiB")
		return n
	}
	size, ok := chunkSize(line)
	switch {
	case !ok:
		p.rest("a chunk's size that is none")
	case size == 0:
		p.phase, p.surplus = inTrailer, 0
	case size > limits.AnswerBodyBytes && p.success():
		p.cutShort("a body of more than 64 KiB")
	default:
		p.phase, p.left = inChunk, size
	}
	return n
}

func chunkSize(line []byte) (size int64, ok bool) {
	end := len(line) - 1
	if end < 0 || line[end] != '\r' {
		return 0, false
	}
	line = line[:end]
	digits := 0
	for digits < len(line) && unhex(line[digits]) >= 0 {
		size = size<<4 | int64(unhex(line[digits])&0xf)
		if digits++; digits > 15 {
			return 0, false
		}
	}
	if digits == 0 {
		return 0, false
	}
	rest := line[digits:]
	for len(rest) > 0 && isBlank(rest[0]) {
		rest = rest[1:]
	}
	if len(rest) > 0 && (rest[0] != ';' || !isText(rest)) {
		return 0, false
	}
	return size, true
}

// chunkEnd is the CRLF after the data of a chunk.
func (p *parser) chunkEnd(b []byte) int {
	const crlf = "\r\n"
	if b[0] != crlf[len(p.line)] {
		p.line = p.line[:0]
		p.rest("data beyond the size of its chunk")
		return 1
	}
	if p.line = append(p.line, b[0]); len(p.line) == len(crlf) {
		p.line, p.phase = p.line[:0], inChunkSize
		p.surplus += len(crlf)
	}
	return 1
}

// trailerLine skips a field after the last chunk: none of them counts.
func (p *parser) trailerLine(b []byte) int {
	line, n, whole, long := p.nextLine(b, limits.AnswerTrailerBytes-p.surplus)
	if long {
		p.cutShort("a trailer of more than 4 KiB")
		return n
	}
	if !whole {
		return n
	}
	p.surplus += len(line) + 1
	end := len(line) - 1
	if end < 0 || line[end] != '\r' {
		p.cutShort("a trailer that is not understood")
		return n
	}
	if line = line[:end]; len(line) == 0 {
		p.phase = ended
		return n
	}
	name, _, ok := splitField(line)
	switch {
	case !ok:
		p.cutShort("a trailer that is not understood")
	case is(name, "content-length"), is(name, "transfer-encoding"), is(name, "connection"):
		p.doubts("a trailer that would frame")
	}
	return n
}
