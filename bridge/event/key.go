package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"strings"
)

const (
	maxToken = 64 // bytes of a readable lane token
	// LaneMark begins each token that is not simply made of ids. No safe id
	// holds it, so the kinds of tokens cannot collide.
	LaneMark = "="
)

const hashLength = 26 // characters of a hashed token, behind LaneMark

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
		return LaneMark + "all", ""
	case o == OrderingOrder && over:
		return e.over.token, e.over.plain
	case o == OrderingNone || id == "":
		return LaneMark + "s" + strconv.FormatUint(e.Seq, 10), ""
	}
	plain = id
	if e.Tenant != "" {
		plain = e.Tenant + "=" + id
	}
	safe := IsSafeID(id) && (e.Tenant == "" || IsSafeID(e.Tenant))
	if kind == "" {
		if safe && len(plain) <= maxToken {
			return plain, plain
		}
		return hashToken(kind, e.Tenant, id), plain
	}
	token = LaneMark + "l=" + plain
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
	return LaneMark + laneEncoding.EncodeToString(sum[:])[:hashLength]
}

// OrderToken is the token of an order in the subjects of the delivery log: the id
// itself if it is safe, "-" if there is none, else ~ and 26 characters of its hash.
func OrderToken(order string) string {
	switch {
	case order == "":
		return "-"
	case IsSafeID(order):
		return order
	}
	return "~" + strings.TrimPrefix(hashToken(order), LaneMark)
}

// IsSafeID reports whether s is [A-Za-z0-9_-]{1,64}: what may stand in a KV
// key, a subject and a lane token as it is.
func IsSafeID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	}) < 0
}

// Ordering says which events of a subscription wait for one another.
type Ordering uint8

const (
	OrderingOrder  Ordering = iota // the events of one order
	OrderingNone                   // none
	OrderingStrict                 // all
)
