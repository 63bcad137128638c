package event

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// An event's data is passed on byte for byte. What must be read of it (ids,
// filters, notifications, CloudEvents) is read from its body: the data without
// a byte order mark and, where the publisher named a Content-Encoding that we
// know, decompressed. The body is made when it is asked for and not kept: a few
// bytes that stand for many would fill the memory otherwise.

// How many bytes a compressed body may hold is bounded by what a bus takes
// uncompressed by default, and by its own size: a few bytes that stand for many
// would cost the feed more time than publishers may take from one another.

type inflatedError int

func (e inflatedError) Error() string {
	if e == limits.InflatedBytes {
		return fmt.Sprintf("it holds more than %d bytes when decompressed", int(e))
	}
	return fmt.Sprintf("it holds more than %d bytes when decompressed, too many for its size", int(e))
}

// mostInflated is how many bytes a body of that size may hold.
func mostInflated(compressed int) int {
	return min(limits.InflatedBytes, limits.InflatedAtLeast+limits.InflatedTimes*compressed)
}

// ContentEncoding is the encoding that the message's publisher named, in lower
// case, without `identity`; "" if none.
func (m *Message) ContentEncoding() string {
	if len(m.Header) == 0 {
		return ""
	}
	value := strings.ToLower(strings.TrimSpace(anyCaseHeader(m.Header, "content-encoding")))
	if value == "" || !strings.ContainsAny(value, ", ") && value != "identity" {
		return value
	}
	var codings []string
	for coding := range strings.SplitSeq(value, ",") {
		if coding = strings.TrimSpace(coding); coding != "" && coding != "identity" {
			codings = append(codings, coding)
		}
	}
	return strings.Join(codings, ", ")
}

// Body is what the data means. The error says why that cannot be told.
func (m *Message) Body() ([]byte, error) {
	encoding := m.ContentEncoding()
	if encoding == "" {
		return withoutMark(m.Data), nil
	}
	inflated, err := inflate(m.Data, encoding)
	if err != nil {
		return nil, fmt.Errorf("its Content-Encoding is %q: %w", encoding[:min(len(encoding), 64)], err)
	}
	return withoutMark(inflated), nil
}

// withoutMark leaves out the byte order mark of UTF-8.
func withoutMark(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

var errUnknownEncoding = errors.New("only gzip and deflate can be read")

func inflate(data []byte, encoding string) ([]byte, error) {
	var r io.ReadCloser
	var err error
	switch encoding {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(data))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(data))
	default:
		return nil, errUnknownEncoding
	}
	if err != nil {
		return nil, fmt.Errorf("the data is not so encoded: %w", err)
	}
	defer r.Close()
	most := mostInflated(len(data))
	body, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the data is damaged: %w", err)
	case len(body) > most:
		return nil, inflatedError(most)
	}
	return body, nil
}

// bodyProblem says in a few words why ids and members cannot be read from the
// event's data; "" if it is a JSON object.
func (m *Message) bodyProblem() string {
	body, err := m.Body()
	if err != nil {
		return err.Error()
	}
	return JSONProblem(body)
}

// JSONProblem says in a few words why the text is not a JSON object; "" if it is one.
func JSONProblem(body []byte) string {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return "it is empty"
	case wide(body) != "":
		return "it is " + wide(body) + ", but JSON is UTF-8"
	}
	if !json.Valid(text) {
		return "it is not JSON: " + syntaxProblem(text)
	}
	switch text[0] {
	case '{':
		return ""
	case '[':
		if gjson.GetBytes(text, "0.specversion").Exists() {
			return "it is a batch of CloudEvents: publish each as a message of its own"
		}
		return "it is a JSON array, not an object: publish each event as a message of its own"
	case '"':
		return "it is a JSON string, not an object"
	default:
		return "it is the JSON value " + string(text[:min(len(text), 20)]) + ", not an object"
	}
}

// wide names an encoding of several bytes for a character, by its byte order
// mark or by the zeros that it gives each character of JSON's own.
func wide(body []byte) string {
	if len(body) < 2 {
		return ""
	}
	switch {
	case bytes.HasPrefix(body, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(body, []byte{0, 0, 0xfe, 0xff}),
		len(body) >= 4 && (body[0] == 0 && body[1] == 0 && body[2] == 0 && begins(body[3]) ||
			begins(body[0]) && body[1] == 0 && body[2] == 0 && body[3] == 0):
		return "UTF-32"
	case body[0] == 0xff && body[1] == 0xfe, body[0] == 0xfe && body[1] == 0xff, body[0] == 0 && begins(body[1]),
		begins(body[0]) && body[1] == 0:
		return "UTF-16"
	}
	return ""
}

// begins tells whether JSON may begin with that character.
func begins(c byte) bool { return strings.IndexByte("{[\"-0123456789tfn \t\r\n", c) >= 0 }

// notNumbers are what some programs write where JSON has no number.
var notNumbers = []string{"NaN", "Infinity", "-Infinity", "inf", "-inf", "nan", "undefined", "None", "True", "False"}

func syntaxProblem(text []byte) string {
	var v json.RawMessage
	err := json.Unmarshal(text, &v)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return "it cannot be read"
	}
	rest := text[min(max(int(syntax.Offset)-1, 0), len(text)):]
	if at := int(syntax.Offset) - 2; at >= 0 && at < len(text) && text[at] == '-' { // the - was good, what follows is not
		rest = text[at:]
	}
	for _, word := range notNumbers {
		// The error stands where the word differs from one that JSON has.
		for back := range 2 {
			at := len(text) - len(rest) - back
			if at >= 0 && bytes.HasPrefix(text[at:], []byte(word)) {
				return word + " at byte " + fmt.Sprint(at+1) + " is not a JSON value"
			}
		}
	}
	if !utf8.Valid(text) && len(rest) > 0 && rest[0] >= utf8.RuneSelf {
		return "byte " + fmt.Sprint(syntax.Offset) + " is not UTF-8"
	}
	return strings.TrimPrefix(syntax.Error(), "json: ") + " at byte " + fmt.Sprint(syntax.Offset)
}

// decodeBase64 reads the data_base64 of a CloudEvent, nil if it is none.
func decodeBase64(text string) []byte {
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return withoutMark(data)
}

// CloudEventValue is the value of a ce- header: percent-decoded, as the bindings
// have it, where that gives UTF-8, else as it stands. Bytes that are not UTF-8
// are percent-encoded, because such a value cannot stand anywhere else.
func CloudEventValue(v string) string {
	if strings.IndexByte(v, '%') >= 0 {
		if decoded, err := url.PathUnescape(v); err == nil && utf8.ValidString(decoded) {
			v = decoded
		}
	}
	if utf8.ValidString(v) {
		return v
	}
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(v)+16)
	for i := 0; i < len(v); {
		r, size := utf8.DecodeRuneInString(v[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, '%', hex[v[i]>>4], hex[v[i]&15])
		} else {
			b = append(b, v[i:i+size]...)
		}
		i += size
	}
	return string(b)
}
