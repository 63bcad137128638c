package store

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const codeNoMessageTTL = 10166

// putMarked writes an entry, a nil value as the marker of a removed one, checked
// against expect unless that is nil. It goes by itself after some time, where the
// bucket allows that.
func putMarked(ctx context.Context, js jetstream.JetStream, bucket, key string, value []byte, expect *uint64,
	kept time.Duration) (revision uint64, err error) {
	m := &nats.Msg{Subject: writeSubject(js, bucket, key), Data: value, Header: nats.Header{}}
	if value == nil {
		m.Header.Set("KV-Operation", "DEL")
	}
	m.Header.Set(jetstream.MsgTTLHeader, kept.String())
	var opts []jetstream.PublishOpt
	if expect != nil {
		opts = append(opts, jetstream.WithExpectLastSequencePerSubject(*expect))
	}
	ack, err := js.PublishMsg(ctx, m, opts...)
	if errorCode(err) == codeNoMessageTTL {
		m.Header.Del(jetstream.MsgTTLHeader)
		ack, err = js.PublishMsg(ctx, m, opts...)
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// nameToken is a name as it can stand in a key: what no key may hold is "=" and
// two hexadecimal digits.
func nameToken(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.WriteString("=" + hex.EncodeToString([]byte{c}))
		}
	}
	return b.String()
}

func nameOfToken(token string) (string, bool) {
	first, rest, coded := strings.Cut(token, "=")
	var b strings.Builder
	b.WriteString(first)
	for coded {
		if len(rest) < 2 {
			return "", false
		}
		c, err := hex.DecodeString(rest[:2])
		if err != nil {
			return "", false
		}
		b.Write(c)
		first, rest, coded = strings.Cut(rest[2:], "=")
		b.WriteString(first)
	}
	return b.String(), true
}
