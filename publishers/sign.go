package publishers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
)

// signer signs the exact bytes of a body; what has no body signs the empty one.
type signer struct {
	body     []byte   // key of X-Signature (contract B7); nil: none
	webhooks [][]byte // keys of Webhook-Signature, Standard Webhooks v1
}

// sign sets the signatures of a body and of the values that are there.
func (s *signer) sign(v *values, body []byte) {
	if s.body != nil {
		mac := hmac.New(sha256.New, s.body)
		mac.Write(body)
		v[bodySignatureValue] = hex.EncodeToString(mac.Sum(nil))
	}
	if len(s.webhooks) == 0 {
		return
	}
	var all []byte
	for i, key := range s.webhooks {
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
