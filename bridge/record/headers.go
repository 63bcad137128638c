package record

import (
	"maps"
	"net/textproto"
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// reservedHeaders are set by the bridge for each request, or belong to the connection.
var reservedHeaders = []string{
	"User-Agent", "Content-Type", "Idempotency-Key", "X-Signature", "X-Order-Id", "X-Event-Type", "X-Attempt",
	"X-Redrive", "X-Replay", "X-Replay-Id", "X-Test", "Traceparent", "Tracestate",

	"Host", "Content-Length", "Content-Encoding", "Accept-Encoding", "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate",
	"Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Http2-Settings",
}

// reservedPrefix begins the names of others.
const reservedPrefix = "Webhook-"

func isReserved(canonical string) bool {
	return strings.HasPrefix(canonical, reservedPrefix) || slices.Contains(reservedHeaders, canonical)
}

var headers = value{
	schema: fragment{
		{"type", "object"}, {"maxProperties", limits.RecordList},
		{"propertyNames", fragment{
			{"minLength", 1}, {"maxLength", limits.RecordName}, {"pattern", "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"},
			{"not", fragment{{"pattern", reservedPattern()}}},
		}},
		{"additionalProperties", fragment{
			{"type", "string"}, {"minLength", 1}, {"maxLength", limits.ReferenceLength}, {"pattern", `^[!-~](?:[ -~]*[!-~])?$`},
			{"anyOf", plainOrReference},
		}},
	},
	read:    (*recordReader).headers,
	secrecy: secretsByName,
	secrets: func(more *More, add func(string, Secret)) {
		for _, name := range slices.Sorted(maps.Keys(more.Headers)) {
			add("."+name, Secret(more.Headers[name]))
		}
	},
}

// reservedPattern matches the reserved names in whatever case.
func reservedPattern() string {
	var b strings.Builder
	b.WriteString("^(?:")
	for _, name := range append(slices.Clone(reservedHeaders), reservedPrefix) {
		if b.Len() > len("^(?:") {
			b.WriteByte('|')
		}
		for _, c := range name {
			if unicode.IsLetter(c) {
				b.WriteString("[" + string(unicode.ToUpper(c)) + string(unicode.ToLower(c)) + "]")
			} else {
				b.WriteRune(c)
			}
		}
	}
	return b.String() + ".*)$"
}

func (r *recordReader) headers(field string, v gjson.Result) {
	headers := map[string]string{}
	r.dictionary(field, v, maxSecret, func(at, name, value string) {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		_, twice := headers[canonical]
		switch {
		case !isHeaderName(name):
			r.fail(at, "is not a valid header name; use letters, digits and -")
		case isReserved(canonical):
			r.fail(at, "is reserved: the bridge sets it, or it belongs to the connection; remove it")
		case twice:
			r.fail(at, "is given more than once (letter case does not count); keep one")
		case strings.IndexFunc(value, func(c rune) bool { return c > '~' }) >= 0 || value != strings.TrimSpace(value):
			r.fail(at, "must be ASCII, without spaces at its ends")
		default:
			headers[canonical] = value
			if canonical == "X-Event-Id" { // was free in former builds
				r.warn(at, "is set by the bridge for each event whose publisher gave it an id; remove it")
			}
			if looksSecret(canonical) || IsReference(value) {
				r.isSecret(at, value)
			}
		}
	})
	if len(headers) > 0 {
		r.more().Headers = headers
	}
}

func isHeaderName(name string) bool {
	return strings.IndexFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", c))
	}) < 0
}

// looksSecret reports whether the value of such a header is likely a secret.
func looksSecret(header string) bool {
	header = strings.ToLower(header)
	return slices.ContainsFunc([]string{"auth", "token", "key", "secret", "cookie", "password"}, func(part string) bool {
		return strings.Contains(header, part)
	})
}
