package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// Redaction says more exactly what may be shown of a record.
type Redaction struct {
	References bool // secrets that are given as env:…, file:… or sealed:… stay
	URLs       bool // query values, and parts of paths that nobody could guess, are secrets, too
}

// RedactRecord is the one place that makes a record fit to be shown: all else
// stays as it stands, members in their order, but each value that is a secret,
// or may be one, is "[redacted]", and so is the user info of a URL. What is not
// declared, a misspelled member of an invalid record included, is a secret. The
// error says that data is not a JSON object, and shows nothing of it.
func RedactRecord(data []byte, how Redaction) ([]byte, error) {
	if !json.Valid(data) {
		return nil, errors.New("the record is not JSON")
	}
	doc := gjson.ParseBytes(data)
	if !doc.IsObject() {
		return nil, errors.New("the record is not a JSON object")
	}
	var out bytes.Buffer
	redactMembers(&out, doc, recordObject, how)
	return out.Bytes(), nil
}

func redactMembers(out *bytes.Buffer, v gjson.Result, o *memberSet, how Redaction) {
	redactObject(out, v, func(name string, v gjson.Result) {
		m := o.byName[name]
		switch visible := m.visibility(); {
		case visible == byPart && v.IsObject():
			redactMembers(out, v, m.object, how)
		case m != nil && m.secrecy == secretsByName && v.IsObject():
			redactObject(out, v, func(_ string, v gjson.Result) { redactValue(out, v, false, how) })
		default:
			redactValue(out, v, visible == open && m.mayShow(v), how)
		}
	})
}

// mayShow reports whether a value has the form of its member: what should be a URL and has not that of one, https:u:p@h or
// https://u:p/w@h, may hold user info anywhere.
func (m *member) mayShow(v gjson.Result) bool {
	return m == nil || !m.url || v.Type != gjson.JSON && (v.Type != gjson.String || v.Str == "" || urlBegin.MatchString(v.Str))
}

var urlBegin = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?(?:[/?#]|$)`)

func redactObject(out *bytes.Buffer, object gjson.Result, member func(name string, v gjson.Result)) {
	out.WriteByte('{')
	first := true
	object.ForEach(func(k, v gjson.Result) bool {
		if !first {
			out.WriteByte(',')
		}
		first = false
		out.WriteString(k.Raw)
		out.WriteByte(':')
		member(k.String(), v)
		return true
	})
	out.WriteByte('}')
}

func redactValue(out *bytes.Buffer, v gjson.Result, open bool, how Redaction) {
	switch text := v.Type == gjson.String; {
	case open && text && strings.Contains(v.Str, "://"):
		out.WriteString(quoteJSON(redactURL(v.Str, how.URLs)))
	case open, how.References && text && isShownReference(v.Str):
		out.WriteString(v.Raw)
	case how.References && v.IsObject():
		redactObject(out, v, func(_ string, v gjson.Result) { redactValue(out, v, false, how) })
	case how.References && v.IsArray():
		out.WriteByte('[')
		for i, item := range v.Array() {
			if i > 0 {
				out.WriteByte(',')
			}
			redactValue(out, item, false, how)
		}
		out.WriteByte(']')
	default:
		out.WriteString(`"` + redacted + `"`)
	}
}

// isShownReference: what only looks like a reference may be a secret.
func isShownReference(text string) bool {
	return IsReference(text) && (strings.HasPrefix(text, RefFile) || CheckReference("", text) == nil)
}

var userInfo = regexp.MustCompile(`(://)[^/?#]*@`)

func redactURL(text string, secrets bool) string {
	if secrets {
		return ShownURL(text)
	}
	return userInfo.ReplaceAllString(text, "$1"+redacted+"@")
}

func quoteJSON(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can always be encoded
	return strings.TrimSuffix(b.String(), "\n")
}
