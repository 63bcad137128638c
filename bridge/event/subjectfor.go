package event

import (
	"cmp"
	"strings"
	"unicode"
)

// SubjectFor makes the subject of a message that has none, by the layout, of what
// its headers and payload tell and of the tenant, if one is given. assumed names
// what they do not tell: there the subject says "unknown".
func (d *Decoder) SubjectFor(m *Message, tenant string) (subject string, assumed []string) {
	d.once.Do(d.init)
	_, body := d.readPayload(m)
	values := told{
		fieldOrderID:       first(ceHeader(m.Header, "ce-orderid"), body[fieldOrderID]),
		fieldLegacyOrderID: first(ceHeader(m.Header, "ce-legacyorderid"), body[fieldLegacyOrderID]),
		fieldType:          first(ceHeader(m.Header, "ce-type"), body[fieldType]),
		fieldTenant:        first(tenant, ceHeader(m.Header, "ce-tenant"), body[fieldTenant]),
	}
	layout := d.layout
	if len(layout) == 0 {
		layout = strings.Split(DefaultSubjectLayout, ".")
	}
	tokens := make([]string, len(layout))
	for i, want := range layout {
		f, named := layoutFields[want]
		switch {
		case !named && want != "*":
			tokens[i] = want
			continue
		case named:
			tokens[i] = subjectToken(values[f])
		}
		if tokens[i] == "" {
			assumed = append(assumed, cmp.Or(strings.Trim(want, "{}"), want))
			tokens[i] = "unknown"
		}
	}
	return strings.Join(tokens, "."), assumed
}

// subjectToken is a text as a token of a subject, "" if that cannot be.
func subjectToken(text string) string {
	if len(text) > 128 {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(".*>", r) {
			return '_'
		}
		return r
	}, text)
}
