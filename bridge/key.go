package bridge

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
)

const (
	maxToken = 64 // bytes of a readable lane token
	// laneMark begins each token that is not simply made of ids. No safe id
	// holds it, so the kinds of tokens cannot collide.
	laneMark = "="
)

const hashLength = 26 // characters of a hashed token, behind laneMark

var laneEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Key tells the lane of the event: events of one subscription with the same
// token run one after another. The token is at most 64 bytes, one token of a
// NATS subject, and says the same for ever (it names entries on the bus); plain
// is the key for people, at most some 1 KiB, "" where the lane is not that of an
// order.
//
//	order id, no tenant             <orderId>
//	order id, tenant                <tenant>=<orderId>
//	only a legacy order id          =l=<legacyOrderId>, =l=<tenant>=<legacyOrderId>
//	one of these not [A-Za-z0-9_-]  = and 26 characters of a SHA-256
//	  or too long (where it is longer than an event's values may be: of the
//	  whole id)
//	no order id, or OrderingNone    =s<sequence>
//	OrderingStrict                  =all
//
// Ids are compared byte for byte. An order id and a legacy order id of the same
// text are two orders; an event that holds both belongs to its order id.
func (e *Event) Key(o Ordering) (token, plain string) {
	kind, id := "", e.OrderID
	if id == "" {
		kind, id = "l", e.LegacyOrderID
	}
	over := e.over != nil && e.over.token != ""
	switch {
	case o == OrderingStrict:
		return laneMark + "all", ""
	case o == OrderingOrder && over:
		return e.over.token, e.over.plain
	case o == OrderingNone || id == "":
		return laneMark + "s" + strconv.FormatUint(e.Seq, 10), ""
	}
	plain = id
	if e.Tenant != "" {
		plain = e.Tenant + "=" + id
	}
	safe := isSafeID(id) && (e.Tenant == "" || isSafeID(e.Tenant))
	if kind == "" {
		if safe && len(plain) <= maxToken {
			return plain, plain
		}
		return hashToken(kind, e.Tenant, id), plain
	}
	token = laneMark + "l=" + plain
	if !safe || len(token) > maxToken {
		token = hashToken(kind, e.Tenant, id)
	}
	return token, "legacy " + plain
}

// hashToken hashes the key in an encoding that no two keys share.
func hashToken(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return laneMark + laneEncoding.EncodeToString(sum[:])[:hashLength]
}

// isSafeID reports whether s is [A-Za-z0-9_-]{1,64}: what may stand in a KV
// key, a subject and a lane token as it is.
func isSafeID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}) < 0
}
