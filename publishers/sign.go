package publishers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

// signer signs the exact bytes of a body; what has no body signs the empty one.
type signer struct {
	body     []byte   // key of X-Signature (contract B7); nil: none
	webhooks [][]byte // keys of Webhook-Signature, Standard Webhooks v1
	// formerUntil is when those after the first cease to sign; zero: never.
	formerUntil time.Time
}

// sign sets the signatures of a body and of the values that are there, as of now.
func (s *signer) sign(v *values, body []byte, now time.Time) {
	if s.body != nil {
		mac := hmac.New(sha256.New, s.body)
		mac.Write(body)
		v[bodySignatureValue] = hex.EncodeToString(mac.Sum(nil))
	}
	if len(s.webhooks) == 0 {
		return
	}
	keys := s.webhooks
	if !s.formerUntil.IsZero() && !now.Before(s.formerUntil) {
		keys = keys[:1]
	}
	var all []byte
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(v[idValue] + "." + v[timestampValue] + "."))
		mac.Write(body)
		if i > 0 {
			all = append(all, ' ')
		}
		all = base64.StdEncoding.AppendEncode(append(all, "v1,"...), mac.Sum(nil))
	}
	v[signatureValue] = string(all)
}
