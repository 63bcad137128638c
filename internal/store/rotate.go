package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/record"
)

// RotateRequest is what a rotation of a signing secret is given.
type RotateRequest struct {
	Secret string `json:"secret,omitempty"` // the new one, or a reference to it; "": one is made
	// RevokeOld: nothing is signed with former ones any more. KeepOld: for so long
	// (PT24H, 24h) the one before it signs as well. Neither: until the next rotation.
	RevokeOld bool   `json:"revokeOld,omitempty"`
	KeepOld   string `json:"keepOld,omitempty"`
}

// RotateAnswer is what came of a rotation.
type RotateAnswer struct {
	ID       string `json:"id"`
	Revision uint64 `json:"revision"`         // of the record
	Member   string `json:"member"`           // of the record, that holds the secret: signing or secret
	Secret   string `json:"secret,omitempty"` // if it was made here: nothing else ever shows it
	// FormerUntil is when the secret before it ceases to sign, of itself.
	FormerUntil *time.Time `json:"formerUntil,omitempty"`
	// Plain says that the record holds the secret as it is: whoever can read the bucket
	// can read it.
	Plain bool `json:"plain,omitempty"`
}

// Stored tells of the record as it is stored.
func (a *RotateAnswer) Stored(r Record) {
	path := map[string]string{"secret": "secret", "signing": "signing.secrets.0"}[a.Member]
	a.ID, a.Revision = r.ID, r.Revision
	a.Plain = !record.IsReference(gjson.GetBytes(r.Value, path).Str)
}

// RotateSecret gives a record another signing secret. The bytes of its other
// members stay. prepare, if it is not nil, makes of the new record what is stored,
// or says why nothing is. The error is a *RefusedError if what was asked for cannot
// be, ErrChanged if somebody else was faster.
func (c *Catalog) RotateSecret(ctx context.Context, scope Scope, id string, q RotateRequest,
	prepare func(ctx context.Context, id string, rec []byte) ([]byte, error)) (RotateAnswer, error) {
	r, err := c.Record(ctx, scope, id)
	if err != nil {
		return RotateAnswer{}, err
	}
	value, answer, err := WithSecret(r.Value, q, time.Now())
	if err != nil {
		return RotateAnswer{}, err
	}
	if prepare != nil {
		if value, err = prepare(ctx, id, value); err != nil {
			return RotateAnswer{}, err
		}
	}
	if r, err = c.Put(ctx, scope, id, value, r.Revision); err == nil {
		answer.Stored(r)
	}
	return answer, err
}

// HasOneSecret reports whether a record signs with its member secret alone: the
// signature is one, so that a rotation replaces the secret at once.
func HasOneSecret(rec []byte) bool {
	return gjson.GetBytes(rec, "secret").Exists() && !gjson.GetBytes(rec, "signing").Exists()
}

// WithSecret is a record with another signing secret: beside the one before it, as
// long as that is asked for, and in place of it where the record has only secret.
// The error is a *RefusedError.
func WithSecret(rec []byte, q RotateRequest, now time.Time) ([]byte, RotateAnswer, error) {
	until, err := q.until(rec, now)
	if err != nil {
		return nil, RotateAnswer{}, err
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	var out RotateAnswer
	if HasOneSecret(rec) {
		out = RotateAnswer{Member: "secret", Secret: hex.EncodeToString(random)}
		rec, err = withMember(rec, "secret", encoded(cmp.Or(q.Secret, out.Secret)))
	} else {
		out = RotateAnswer{Member: "signing", Secret: "whsec_" + base64.StdEncoding.EncodeToString(random)}
		signing := signing{Secrets: []string{cmp.Or(q.Secret, out.Secret)}}
		former := gjson.GetBytes(rec, "signing.secrets.0")
		if former.Exists() && former.Str != q.Secret && !q.RevokeOld {
			signing.Secrets, signing.FormerUntil = append(signing.Secrets, former.Str), until
			out.FormerUntil = until
		}
		rec, err = withMember(rec, "signing", encoded(signing))
	}
	if q.Secret != "" {
		out.Secret = ""
	}
	if err != nil {
		return nil, out, &RefusedError{Reason: err.Error()}
	}
	return rec, out, nil
}

// signing is the member of a record.
type signing struct {
	Secrets     []string   `json:"secrets"`
	FormerUntil *time.Time `json:"formerUntil,omitempty"`
}

// encoded is a value as JSON, its letters as they are.
func encoded(v any) string {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // texts and times can always be encoded
	return strings.TrimSpace(text.String())
}

// until is when the former secret ceases to sign; nil: of itself never.
func (q RotateRequest) until(rec []byte, now time.Time) (*time.Time, error) {
	bad := func(format string, args ...any) (*time.Time, error) {
		return nil, &RefusedError{Code: http.StatusBadRequest, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case q.KeepOld == "":
		return nil, nil
	case q.RevokeOld:
		return bad("keepOld: either the former secret is kept for a time, or revoked; leave one of the two out")
	case HasOneSecret(rec):
		return bad("keepOld: the record has only the member secret, and X-Signature is one signature: the former secret ends " +
			"at once; leave it out, or give the record signing, which signs with both")
	}
	keep, err := record.ParseDuration(q.KeepOld)
	switch {
	case err != nil:
		return bad("keepOld: %v", err)
	case keep <= 0:
		return bad("keepOld: %s is no time; to end the former secret at once, revoke it", q.KeepOld)
	}
	until := now.Add(keep).UTC().Truncate(time.Second).Add(time.Second)
	return &until, nil
}
