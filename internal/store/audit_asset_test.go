package store

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// The audit is bounded, and nobody takes an entry out. One message cannot wipe
// a state bucket.
func TestAuditAsset(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n, _, err := Ensure(t.Context(), js, Options{Prefix: "acme."})
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), n.Audit)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if n.Audit != "acme_AUDIT" || c.Subjects[0] != "acme.audit.>" || c.MaxBytes != limits.AuditBytes || c.MaxAge != limits.AuditAge || c.MaxMsgsPerSubject != limits.AuditPerSubject || c.MaxMsgSize != limits.AuditEntryBytes {
		t.Errorf("%+v", c)
	}
	if _, err := js.Publish(t.Context(), "acme.audit.record.x.put", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("the audit can be purged")
	}
	if err := s.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("an entry can be taken out")
	}
	for _, bucket := range n.Buckets() {
		m := msgTo(bucketSubject(bucket, "x"))
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
		if _, err := js.PublishMsg(t.Context(), m); err == nil {
			t.Errorf("one message wipes the bucket %s", bucket)
		}
	}
}

func msgTo(subject string) *nats.Msg { return &nats.Msg{Subject: subject, Header: nats.Header{}} }
