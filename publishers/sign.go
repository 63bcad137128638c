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

// sign sets the headers. id and timestamp are the values of Webhook-Id and
// Webhook-Timestamp as they are sent.
func (s *signer) sign(set func(name, value string), id, timestamp string, body []byte) {
	if s.body != nil {
		mac := hmac.New(sha256.New, s.body)
		mac.Write(body)
		set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
	if len(s.webhooks) == 0 {
		return
	}
	var all []byte
	for i, key := range s.webhooks {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		if i > 0 {
			all = append(all, ' ')
		}
		all = base64.StdEncoding.AppendEncode(append(all, "v1,"...), mac.Sum(nil))
	}
	set("Webhook-Signature", string(all))
}
