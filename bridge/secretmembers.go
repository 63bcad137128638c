package bridge

import (
	"bytes"
	"errors"
	"strconv"

	"github.com/tidwall/gjson"
)

// ReplaceSecrets is the record with each value of a secret member that is a
// string and not empty replaced by what replace returns for it; all else stays
// as it stands, members in their order. Every header counts as a secret, as it
// does where records are shown. It is nil if nothing was replaced. The error is
// that of replace, or says that data is no JSON object.
func ReplaceSecrets(data []byte, replace func(field, value string) (string, error)) ([]byte, error) {
	doc := gjson.ParseBytes(data)
	if !gjson.ValidBytes(data) || !doc.IsObject() {
		return nil, errors.New("the record is not a JSON object")
	}
	w := secretWriter{replace: replace}
	w.object(doc, func(name string, v gjson.Result) {
		switch {
		case name == "key" || name == "secret":
			w.value(name, v)
		case name == "signing" && v.IsObject():
			w.object(v, w.signing)
		case name == "auth" && v.IsObject():
			w.within("auth.", v, "password", "token", "clientSecret")
		case name == "tls" && v.IsObject():
			w.within("tls.", v, "keyPassword")
		case name == "headers" && v.IsObject():
			w.object(v, func(name string, v gjson.Result) { w.value("headers."+name, v) })
		default:
			w.out.WriteString(v.Raw)
		}
	})
	if w.err != nil || !w.changed {
		return nil, w.err
	}
	return w.out.Bytes(), nil
}

type secretWriter struct {
	out     bytes.Buffer
	replace func(field, value string) (string, error)
	changed bool
	err     error
}

func (w *secretWriter) object(v gjson.Result, member func(name string, v gjson.Result)) {
	redactObject(&w.out, v, member)
}

func (w *secretWriter) within(prefix string, v gjson.Result, secrets ...string) {
	w.object(v, func(name string, v gjson.Result) {
		for _, secret := range secrets {
			if name == secret {
				w.value(prefix+name, v)
				return
			}
		}
		w.out.WriteString(v.Raw)
	})
}

func (w *secretWriter) signing(name string, v gjson.Result) {
	if name != "secrets" || !v.IsArray() {
		w.out.WriteString(v.Raw)
		return
	}
	w.out.WriteByte('[')
	for i, item := range v.Array() {
		if i > 0 {
			w.out.WriteByte(',')
		}
		w.value("signing.secrets["+strconv.Itoa(i)+"]", item)
	}
	w.out.WriteByte(']')
}

func (w *secretWriter) value(field string, v gjson.Result) {
	if v.Type == gjson.String && v.Str != "" && w.err == nil {
		text, err := w.replace(field, v.Str)
		if w.err = err; err == nil && text != v.Str {
			w.changed = true
			w.out.WriteString(quoteJSON(text))
			return
		}
	}
	w.out.WriteString(v.Raw)
}
