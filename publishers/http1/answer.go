package http1

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"

	"orderbridge/internal/limits"
)

// phase is what a parser expects next.
type phase uint8

const (
	atStart     phase = iota // the first byte of an answer
	inFrame                  // what may be a frame of HTTP/2
	inStatus                 // a status line
	inHead                   // field lines
	inBody                   // p.left bytes of a body with a length
	inRest                   // a body that ends with the connection
	inChunkSize              // the line before a chunk
	inChunk                  // p.left bytes of a chunk
	inChunkEnd               // the CRLF after it
	inTrailer                // the lines after the last chunk
	ended                    // the whole answer was read
	cut                      // the answer is decided, and nothing more of it is wanted
	refused                  // no answer: p.err
)

// parser reads an answer as its bytes come. Whether they come whole or one by
// one makes no difference. It is a function of the bytes: no clock, no I/O.
type parser struct {
	head  bool   // the request was a HEAD
	notes *Notes // nil: none are made
	phase phase
	err   error  // refused: why
	doubt string // why the connection cannot be used again; "": nothing yet

	status     int // 0: not decided
	minor      int
	retryAfter string
	keepFor    int    // seconds, by the server's hint; 0: none
	text       []byte // the body's beginning, of an answer that is not a success

	second    bool   // another answer followed that no request had asked for
	seen      bool   // a byte of an answer came
	line      []byte // the beginning of a line that is not whole yet
	code      int    // of the head that is read: p.status or an interim one
	headBytes int
	bodyBytes int
	surplus   int
	fields    int
	interim   int
	blank     bool // an empty line stood before the status line
	left      int64

	// Of the head that is read.
	lengths   int // Content-Length fields
	length    int64
	badLength bool
	codings   int // Transfer-Encoding fields
	chunked   bool
	close     bool
	keepAlive bool
}

var parsers = sync.Pool{New: func() any { return new(parser) }}

// release gives a parser back, with its buffer. What it read of an answer is the
// answer's own.
func (p *parser) release() {
	if cap(p.line) > limits.AnswerChunkLineBytes {
		p.line = nil
	}
	*p = parser{line: p.line[:0]}
	parsers.Put(p)
}

// AnswerError is an answer that is none.
type AnswerError struct{ Reason string }

func (e *AnswerError) Error() string { return e.Reason }

// ErrHTTP2 is what a server answered that speaks HTTP/2 only: it has not
// understood the request.
var ErrHTTP2 = errors.New("the server speaks HTTP/2 only")

func (p *parser) doubts(why string) {
	if p.doubt == "" {
		p.doubt = why
	}
}

func (p *parser) refuse(reason string) {
	p.phase, p.err = refused, &AnswerError{reason}
}

func (p *parser) cutShort(why string) {
	p.doubts(why)
	p.phase = cut
}

// decided reports whether a whole final status line was read.
func (p *parser) decided() bool { return p.status != 0 }

// over reports whether no more bytes are wanted.
func (p *parser) over() bool { return p.phase >= ended }

// success is a 2xx.
func (p *parser) success() bool { return p.status >= 200 && p.status < 300 }

// reusable reports whether every byte was understood and the server keeps the
// connection.
func (p *parser) reusable() bool {
	return p.phase == ended && p.doubt == "" && !p.close && (p.minor == 1 || p.keepAlive)
}

// feed reads b and returns how many bytes of it belong to the answer.
func (p *parser) feed(b []byte) int {
	n := 0
	p.seen = p.seen || len(b) > 0
	for n < len(b) && !p.over() {
		n += p.step(b[n:])
	}
	return n
}

// end is the end of what came: the connection's, or of our patience.
func (p *parser) end(why string) {
	switch {
	case p.over():
	case p.decided():
		p.cutShort(why)
	case p.phase == inFrame:
		p.refuse("malformed HTTP response")
	case p.phase == atStart:
		p.phase, p.err = refused, io.EOF
	default:
		p.phase, p.err = refused, io.ErrUnexpectedEOF
	}
}

// step reads some of b, at least one byte unless the answer is over.
func (p *parser) step(b []byte) int {
	switch p.phase {
	case atStart:
		if p.phase = inStatus; b[0] == 0 {
			p.phase = inFrame
		}
		return 0
	case inFrame:
		return p.frame(b)
	case inStatus:
		return p.statusLine(b)
	case inHead:
		return p.headLine(b)
	case inBody, inChunk:
		return p.data(b)
	case inRest:
		p.body(b)
		return len(b)
	case inChunkSize:
		return p.chunkLine(b)
	case inChunkEnd:
		return p.chunkEnd(b)
	default:
		return p.trailerLine(b)
	}
}

// frame: a server that speaks HTTP/2 only begins with a frame of its settings,
// or says goodbye.
func (p *parser) frame(b []byte) int {
	const header, settings, goAway = 9, 4, 7
	n := min(header-len(p.line), len(b))
	if p.line = append(p.line, b[:n]...); len(p.line) < header {
		return n
	}
	if kind := p.line[3]; p.line[1] == 0 && (kind == settings || kind == goAway) &&
		bytes.Equal(p.line[5:9], []byte{0, 0, 0, 0}) {
		p.phase, p.err = refused, ErrHTTP2
		return n
	}
	p.refuse("malformed HTTP response")
	return n
}

// nextLine takes a line without its LF. whole is false if it has not ended yet;
// long: it does not end within limit bytes.
func (p *parser) nextLine(b []byte, limit int) (line []byte, n int, whole, long bool) {
	n = bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		if len(p.line)+len(b) >= limit {
			return nil, len(b), false, true
		}
		p.line = append(p.line, b...)
		return nil, len(b), false, false
	}
	if len(p.line)+n > limit {
		return nil, n, false, true
	}
	line = b[:n-1]
	if len(p.line) > 0 {
		p.line = append(p.line, line...)
		line, p.line = p.line, p.line[:0]
	}
	return line, n, true, false
}

const protocolName = "HTTP/"

// statusLine: HTTP/1.1 SP code [SP reason]. Lenient where a 2xx cannot be
// mistaken: the reason may be missing or hold anything, an empty line may stand
// before it, more than one blank after the version.
func (p *parser) statusLine(b []byte) int {
	line, n, whole, long := p.nextLine(b, min(limits.AnswerStatusLineBytes, limits.AnswerHeadBytes-p.headBytes))
	if long {
		p.refuse("status line or heads before it too long")
		return n
	}
	if !whole {
		if seen := p.line[:min(len(p.line), len(protocolName))]; seen[0] != '\r' &&
			string(seen) != protocolName[:len(seen)] {
			p.refuse("malformed HTTP response")
		}
		return n
	}
	p.headBytes += len(line) + 1
	line = p.trimCR(line)
	if len(line) == 0 && !p.blank && p.interim == 0 {
		p.blank = true
		p.doubts("an empty line before the status line")
		return n
	}
	p.readStatus(line)
	return n
}

// trimCR takes the CR from the end of a line of a head.
func (p *parser) trimCR(line []byte) []byte {
	plain := bytes.TrimRight(line, "\r")
	switch len(line) - len(plain) {
	case 0:
		p.doubts("a line that ends in LF alone")
	case 1:
	default:
		p.doubts("a line that ends in more than one CR")
	}
	return plain
}

func (p *parser) readStatus(line []byte) {
	const version = len("HTTP/1.1 ")
	if len(line) < version || string(line[:5]) != protocolName || !isDigit(line[5]) || line[5] == '0' ||
		line[6] != '.' || !isDigit(line[7]) || line[8] != ' ' {
		p.refuse("malformed HTTP response " + strconv.Quote(string(line[:min(len(line), 40)])))
		return
	}
	code := bytes.TrimLeft(line[version:], " ")
	if len(code) != len(line)-version {
		p.doubts("more than one blank before the status")
	}
	if len(code) < 3 || code[0] == '0' || !isDigit(code[0]) || !isDigit(code[1]) || !isDigit(code[2]) ||
		len(code) > 3 && code[3] != ' ' {
		p.refuse("malformed HTTP status code " + strconv.Quote(string(code[:min(len(code), 10)])))
		return
	}
	p.minor = int(line[7] - '0')
	if line[5] != '1' || p.minor > 1 {
		p.doubts("version " + string(line[5:8]) + " of HTTP")
	}
	if len(code) > 3 && !isText(code[4:]) {
		p.doubts("a control character in the status line")
	}
	p.code = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	p.phase, p.fields = inHead, 0
	p.lengths, p.codings, p.badLength, p.chunked, p.close, p.keepAlive = 0, 0, false, false, false, false
	if p.code < 200 && p.code != 101 {
		return // interim: what is asked for comes later
	}
	if p.status = p.code; p.status > 599 {
		p.doubts("a status above 599")
	}
}

// body takes data of the body.
func (p *parser) body(b []byte) {
	if !p.success() && len(p.text) < limits.AnswerTextBytes {
		p.text = append(p.text, b[:min(len(b), limits.AnswerTextBytes-len(p.text))]...)
	}
	if p.notes != nil {
		p.notes.Body(b)
	}
	if p.bodyBytes += len(b); p.bodyBytes > limits.AnswerBodyBytes ||
		len(p.text) == limits.AnswerTextBytes && p.doubt != "" {
		p.cutShort("a body of more than 64 KiB")
	}
}

// data is that of a body with a length, or of a chunk.
func (p *parser) data(b []byte) int {
	n := int(min(p.left, int64(len(b))))
	p.left -= int64(n)
	if p.body(b[:n]); p.over() || p.left > 0 {
		return n
	}
	if p.phase == inChunk {
		p.phase = inChunkEnd
	} else {
		p.phase = ended
	}
	return n
}
