package api

import (
	"bytes"
	"encoding/json"
	"net/http"

	"orderbridge/internal/store"
)

func (a *API) rotateSecret(req *http.Request) (answer, error) {
	given, err := readNewSecret(bodyOf(req))
	if err != nil {
		return answer{}, err
	}
	var out store.RotateAnswer
	r, err := a.change(req, "rotateSecret", func(r store.Record) ([]byte, error) {
		var value []byte
		if value, out, err = store.WithSecret(r.Value, given, a.o.Now()); err != nil {
			return nil, err
		}
		o, err := readObject(value)
		if err != nil {
			return nil, err
		}
		o.set("updatedAt", stamp(a.o.Now()))
		value = o.bytes()
		if s, problems := a.o.Parse(r.ID, value); s == nil || problems.Err() != nil {
			return nil, badRecord(problems)
		}
		return value, nil
	})
	out.Stored(r)
	return answer{etag: etag(r), body: out}, err
}

// readNewSecret reads the body of a rotation, which may be empty.
func readNewSecret(body []byte) (given store.RotateRequest, err error) {
	if len(bytes.TrimSpace(body)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.DisallowUnknownFields()
		if dec.Decode(&given) != nil {
			return given, badMember("secret", `cannot be read; the body is empty, or {"secret":"…","keepOld":"PT24H"}, `+
				`or "revokeOld":true in place of keepOld, each left out at will`)
		}
	}
	return given, nil
}
