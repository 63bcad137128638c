package store

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// TestAttemptAsset: the delivery log is bounded in every way, the oldest entries
// go first, and nothing that is wrong with it keeps the bridge from working.
func TestAttemptAsset(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n, _, err := Ensure(t.Context(), js, Options{Prefix: "acme."})
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), n.Attempts)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if n.Attempts != "acme_ATTEMPTS" || c.Subjects[0] != "acme.attempts.>" || !c.AllowDirect || c.Discard != jetstream.DiscardOld ||
		c.MaxBytes != limits.AttemptLogBytes || c.MaxAge != limits.AttemptLogAge || c.MaxMsgsPerSubject != limits.AttemptLogPerOrder {
		t.Errorf("%+v", c)
	}
	c.Discard, c.NoAck, c.MaxMsgsPerSubject = jetstream.DiscardNew, true, -1
	found := checkAttempts(&jetstream.StreamInfo{Config: c})
	if len(found) != 2 {
		t.Errorf("found %v, want two", found)
	}
	for _, f := range found {
		if f.Severity != Warning {
			t.Errorf("%v: the log is never a reason not to be ready", f)
		}
	}
}
