package api

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"

	"github.com/tidwall/gjson"

	"orderbridge/internal/store"
)

// rotation is what came of a rotation.
type rotation struct {
	ID     string `json:"id"`
	Member string `json:"member"`           // of the record, that holds the secret
	Secret string `json:"secret,omitempty"` // if it was made here
}

func (a *API) rotateSecret(req *http.Request) (answer, error) {
	given, err := givenSecret(bodyOf(req))
	if err != nil {
		return answer{}, err
	}
	var out rotation
	r, err := a.change(req, "rotateSecret", func(r store.Record) ([]byte, error) {
		o, err := readStored(r)
		if err != nil {
			return nil, err
		}
		out = rotate(&o, given)
		out.ID = r.ID
		o.set("updatedAt", stamp(a.o.Now()))
		value := o.bytes()
		if s, problems := a.o.Parse(r.ID, value); s == nil || problems.Err() != nil {
			return nil, badRecord(problems)
		}
		return value, nil
	})
	return answer{etag: etag(r), body: out}, err
}

// givenSecret is the new secret that a request brings; "": none.
func givenSecret(body []byte) (string, error) {
	var given struct {
		Secret string `json:"secret"`
	}
	if len(bytes.TrimSpace(body)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if dec.Decode(&given) != nil {
			return "", badMember("secret", "cannot be read; the body is empty, or {\"secret\":\"…\"}")
		}
	}
	return given.Secret, nil
}

// rotate puts a secret into the record, one of its own if none is given: beside
// the one before, or in place of it where the record has only "secret".
func rotate(o *object, given string) (out rotation) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	_, signs := o.get("signing")
	_, plain := o.get("secret")
	if plain && !signs {
		out = rotation{Member: "secret", Secret: hex.EncodeToString(random)}
		o.set("secret", quoteJSON(cmp.Or(given, out.Secret)))
	} else {
		out = rotation{Member: "signing", Secret: "whsec_" + base64.StdEncoding.EncodeToString(random)}
		secret := cmp.Or(given, out.Secret)
		list := quoteJSON(secret)
		raw, _ := o.get("signing")
		if former := gjson.Get(raw, "secrets.0"); former.Exists() && former.Str != secret {
			list += "," + former.Raw
		}
		o.set("signing", `{"secrets":[`+list+`]}`)
	}
	if given != "" {
		out.Secret = ""
	}
	return out
}
