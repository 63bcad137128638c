package record

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/internal/limits"
)

var signingMembers = []member{{
	name: "secrets",
	value: value{
		schema: listSchema(limits.RecordSigningSecrets, append(ref("secret"),
			pair{"anyOf", []any{ref("reference"), fragment{{"pattern", `^whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`}}}},
			pair{"description", "whsec_ and 24 to 64 random bytes in base64."})),
		read:    (*recordReader).signingSecrets,
		secrecy: secretList,
		core:    true,
		secrets: func(more *More, add func(string, Secret)) {
			for i, s := range more.Signing {
				add("["+strconv.Itoa(i)+"]", s)
			}
		},
	},
	example:  `["env:ORDERBRIDGE_SECRET_SIGNING"]`,
	required: `is required: ["whsec_…"]`,
}, {
	name:  "formerUntil",
	value: keep(moment, (*recordReader).formerUntil),
	about: "Until when the secrets after the first sign as well; left out: as long as they stand here. After a " +
		"rotation the former secret ends so by itself.",
	example: `"2026-01-02T15:04:05Z"`,
}}

func (r *recordReader) formerUntil(s string) {
	r.more().FormerUntil, _ = time.Parse(time.RFC3339, s) // it is one, says moment
}

func (r *recordReader) signingSecrets(field string, v gjson.Result) {
	if !r.is(field, v, "an array") {
		return
	}
	n := 0
	v.ForEach(func(_, v gjson.Result) bool {
		at := field + "[" + strconv.Itoa(n) + "]"
		n++
		if n > limits.RecordSigningSecrets {
			return false
		}
		if s, ok := r.secret(at, v); ok {
			if _, err := SigningKey(s); err != nil && !IsReference(s.Reveal()) {
				r.fail(at, "%s", err)
			}
			r.more().Signing = append(r.more().Signing, s)
		}
		return true
	})
	switch {
	case n == 0:
		r.fail(field, `is empty; give at least one, as in ["whsec_…"]`)
	case n > limits.RecordSigningSecrets:
		r.fail(field, "has more than %d entries", limits.RecordSigningSecrets)
	}
}

// SigningKey is the key of a Standard Webhooks secret: whsec_ and 24 to 64
// bytes in base64. The error does not show the secret.
func SigningKey(secret Secret) ([]byte, error) {
	text, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("is not a Standard Webhooks secret; " +
			"write whsec_ and 24 to 64 random bytes in base64 (openssl rand -base64 32)")
	}
	return key, nil
}
