package publishers

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"orderbridge/bridge/event"
	"orderbridge/publishers/http1"
)

// template is a target URL, compiled once for each record: the request target
// (path and query) as pieces of text with the placeholders between them.
type template struct {
	scheme string
	host   string // as it stands in the URL, with the port if one is given
	origin http1.Origin
	pieces []piece
	fixed  *url.URL // the whole URL if it has no placeholder
	beside bool     // text beside a placeholder of the path may make a step of it
}

// piece is some text, then a placeholder if one follows.
type piece struct {
	text   string // escaped
	id     placeholder
	inPath bool // the placeholder stands in the path, else in the query
}

type placeholder int

const (
	noPlaceholder placeholder = iota
	orderID
	legacyOrderID
)

func (p placeholder) String() string {
	if p == legacyOrderID {
		return "legacyOrderId"
	}
	return "orderId"
}

func (p placeholder) of(e *event.Event) string {
	if p == legacyOrderID {
		return e.LegacyOrderID
	}
	return e.OrderID
}

// parseTemplate compiles a target URL. The key, if there is one, becomes its
// last query parameter (contract B5). Its errors name no part of the URL but
// the scheme and the placeholder: path and query may hold secrets.
func parseTemplate(target, key string) (*template, error) {
	target, _, _ = strings.Cut(target, "#")
	pieces, plain, err := cutPlaceholders(target)
	if err != nil {
		return nil, err
	}
	// plain is the URL with a harmless letter for each placeholder.
	u, err := url.Parse(plain)
	if err != nil {
		return nil, errors.New("target URL cannot be parsed")
	}
	scheme := strings.ToLower(u.Scheme)
	switch {
	case scheme != "https" && scheme != "http":
		return nil, fmt.Errorf("target URL has scheme %q, want https", scheme)
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("target URL has no host")
	case u.User != nil:
		return nil, errors.New("target URL holds user info: use auth instead")
	}
	t := &template{scheme: scheme, host: u.Host}
	t.origin, _ = http1.OriginOf(t.url("/")) // else none: the attempt tells why

	// The first piece still begins with scheme and authority.
	first := pieces[0].text
	_, rest, _ := strings.Cut(first, "//")
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		if pieces[0].id != noPlaceholder {
			return nil, errors.New("target URL holds a placeholder in its host")
		}
		at = len(rest)
	}
	rest = rest[at:]
	if !strings.HasPrefix(rest, "/") {
		rest = "/" + rest
	}
	pieces[0].text = rest

	inPath := true
	for i := range pieces {
		p := &pieces[i]
		if strings.Contains(p.text, "?") {
			inPath = false
		}
		p.inPath = inPath
		p.text = escapeText(p.text)
	}
	if key != "" {
		last := &pieces[len(pieces)-1] // ends without a placeholder
		last.text += keySeparator(last.text, inPath) + "key=" + escapeValue(key)
	}
	t.pieces = pieces
	if len(pieces) == 1 {
		t.fixed = t.url(pieces[0].text)
	}
	if len(pieces) > 1 {
		path := t.path(func(placeholder) string { return "x" })
		t.beside = (len(pieces) > 2 || !isPlain(path) || t.endsEscapes()) && !hasDotSegment(path)
	}
	return t, nil
}

// endsEscapes reports whether an id that ends in a percent sign makes an escape
// with the text behind it: {orderId}2Fx.
func (t *template) endsEscapes() bool {
	for i, p := range t.pieces[1:] {
		if t.pieces[i].inPath && p.text != "" && (isHex(p.text[0]) || p.text[0]|0x20 == 'u') {
			return true
		}
	}
	return false
}

// path is the path with the ids in it.
func (t *template) path(id func(placeholder) string) string {
	var b strings.Builder
	for _, p := range t.pieces {
		text, _, ends := strings.Cut(p.text, "?")
		b.WriteString(text)
		if ends {
			break
		}
		if p.id != noPlaceholder {
			b.WriteString(escapeValue(id(p.id)))
		}
	}
	return b.String()
}

// keySeparator is what stands between the end of a URL and its key parameter.
func keySeparator(text string, inPath bool) string {
	switch {
	case inPath && strings.HasSuffix(text, "/"):
		return "?"
	case inPath:
		return "/?"
	case strings.HasSuffix(text, "?"), strings.HasSuffix(text, "&"):
		return ""
	}
	return "&"
}

// cutPlaceholders splits a URL at its placeholders. The last piece has none.
func cutPlaceholders(target string) (pieces []piece, plain string, err error) {
	var b strings.Builder
	rest := target
	for {
		at := strings.IndexAny(rest, "{<")
		if at < 0 {
			break
		}
		closing := byte('}')
		if rest[at] == '<' {
			closing = '>'
		}
		end := strings.IndexByte(rest[at:], closing)
		if end < 0 {
			return nil, "", errors.New("target URL holds a placeholder that is not closed")
		}
		var id placeholder
		switch name := rest[at+1 : at+end]; name {
		case "orderId":
			id = orderID
		case "legacyOrderId":
			id = legacyOrderID
		default:
			return nil, "", fmt.Errorf("target URL holds the unknown placeholder %q: there are {orderId} and {legacyOrderId}", rest[at:at+end+1])
		}
		pieces = append(pieces, piece{text: rest[:at], id: id})
		b.WriteString(rest[:at])
		b.WriteByte('x')
		rest = rest[at+end+1:]
	}
	b.WriteString(rest)
	return append(pieces, piece{text: rest}), b.String(), nil
}

// render puts the event's ids into the template. What it cannot render now it
// can render never.
func (t *template) render(e *event.Event) (*url.URL, error) {
	if t.fixed != nil {
		return t.fixed, nil
	}
	n := 0
	for _, p := range t.pieces {
		n += len(p.text) + 48
	}
	b := make([]byte, 0, n)
	for _, p := range t.pieces {
		b = append(b, p.text...)
		if p.id == noPlaceholder {
			continue
		}
		id := p.id.of(e)
		switch {
		case id == "":
			return nil, e.Missing(p.id.String(), "the target URL")
		case p.inPath && hasDotSegment(id):
			return nil, stepError(p.id, id)
		}
		b = appendEscaped(b, id)
	}
	if t.beside && hasDotSegment(t.path(func(p placeholder) string { return p.of(e) })) {
		return nil, errors.New("the event's ids make a . or .. segment of the target URL's path together with what stands beside them, which cannot be sent")
	}
	return t.url(string(b)), nil
}

// stepError: encoded or not, a receiver or a proxy would take the id for a way
// out of the path that the record names.
func stepError(p placeholder, id string) error {
	if id == "." || id == ".." {
		return errors.New("the event's " + p.String() + " is " + id + ", which cannot stand in a path")
	}
	return errors.New("the event's " + p.String() + " " + strconv.QuoteToASCII(shorten(id, 100)) +
		" has a . or .. segment between /, \\ or ;, or becomes one when it is decoded, which cannot stand in a path; give it as a query parameter instead: ?orderId={" + p.String() + "}")
}

// shorten cuts a text for people.
func shorten(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit] + "…"
}

// url sends the target as it is: net/url would take it apart and escape it again.
func (t *template) url(target string) *url.URL {
	if !strings.HasPrefix(target, "//") {
		return &url.URL{Scheme: t.scheme, Host: t.host, Opaque: target}
	}
	// An opaque part that begins so would be read as an authority.
	path, query, _ := strings.Cut(target, "?")
	u := &url.URL{Scheme: t.scheme, Host: t.host, RawPath: path, RawQuery: query}
	u.Path, _ = url.PathUnescape(path)
	return u
}

const upperHex = "0123456789ABCDEF"

// appendEscaped appends s with all but letters, digits and -._~ as %XX: right
// in a path segment and in a query value alike.
func appendEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' ||
			c == '~' {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

func escapeValue(s string) string { return string(appendEscaped(nil, s)) }

// escapeText escapes what may not stand in a request target and leaves the
// rest, escapes that are there included, as its writer put it.
func escapeText(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0,
			c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])):
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
