package record

import (
	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

// secretAt is a secret text that stands at a place of the record; the place is nil where the record has none.
func secretAt(at func(*More) *Secret) value {
	return value{
		schema:  ref("secret"),
		secrecy: secretText,
		read: func(r *recordReader, field string, v gjson.Result) {
			if s, ok := r.secret(field, v); ok {
				*at(r.more()) = s
			}
		},
		secrets: func(more *More, add func(string, Secret)) {
			if s := at(more); s != nil && *s != "" {
				add("", *s)
			}
		},
	}
}

// secretFor is a secret that goes to the hosts of other URLs than the target's, or to those as well.
func secretFor(at func(*More) *Secret, goesTo ...string) value {
	v := secretAt(at)
	v.goesTo = goesTo
	return v
}

// secret reads a secret: the value itself, or a reference.
func (r *recordReader) secret(field string, v gjson.Result) (Secret, bool) {
	s, ok := r.text(field, v, maxSecret(v))
	if !ok {
		return "", false
	}
	r.isSecret(field, s)
	return Secret(s), true
}

// maxSecret is how long a value may be that may be a reference.
func maxSecret(v gjson.Result) int {
	if IsReference(v.Str) {
		return limits.ReferenceLength
	}
	return limits.RecordText
}

// isSecret keeps a reference for checkTogether and warns of a plain value.
func (r *recordReader) isSecret(field, value string) {
	if IsReference(value) {
		r.references = append(r.references, namedValue{field, value})
		return
	}
	r.warn(field, "is a secret in plain text: whoever can read the bucket can read it; use env:, file: or sealed:")
}

const referencePattern = `^(?:env:|file:|sealed:)`

// plainOrReference bounds a value that may be a reference.
var plainOrReference = []any{
	ref("reference"),
	fragment{{"maxLength", limits.RecordText}, {"not", fragment{{"pattern", referencePattern}}}},
}

var secretSchema = fragment{
	{"type", "string"}, {"minLength", 1}, {"pattern", noControl},
	{"anyOf", plainOrReference},
	{"description", "The value itself, or a reference."},
}

var referenceSchema = fragment{
	{"type", "string"}, {"maxLength", limits.ReferenceLength},
	{"not", fragment{{"pattern", `^(?:env:.*(?:_[Hh][Oo][Ss][Tt][Ss]|_[Tt][Ee][Nn][Aa][Nn][Tt][Ss])|file:.*\.[Hh][Oo][Ss][Tt][Ss])$`}}},
	{"pattern", `^(?:env:ORDERBRIDGE_SECRET_[A-Za-z0-9_]+|file:[^\x00-\x1f\x7f-\x9f/\\][^\x00-\x1f\x7f-\x9f\\]*|sealed:[A-Za-z0-9_-]+)$`},
	{"description", "Where a secret stands: env:NAME, a variable ORDERBRIDGE_SECRET_<TENANT>_… (without tenant " +
		"ORDERBRIDGE_SECRET_ and one word); " +
		"file:NAME, in the tenant's part of the secrets directory; sealed:…, made by `orderbridge secrets seal`. " +
		"Each goes only to the hosts that it is for: …_HOSTS beside the variable, NAME.hosts beside the file, " +
		"--host of the seal."},
}

var fileNameSchema = fragment{
	{"type", "string"}, {"minLength", 1}, {"maxLength", limits.SecretFileNameBytes},
	{"pattern", `^[^\x00-\x1f\x7f-\x9f/\\][^\x00-\x1f\x7f-\x9f\\]*$`},
	{"not", fragment{{"pattern", `\.[Hh][Oo][Ss][Tt][Ss]$`}}},
	{"description", "A file in the tenant's part of the secrets directory, <directory>/<tenant>; " +
		"without tenant, one that lies in the directory itself."},
}
