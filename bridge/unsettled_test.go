package bridge

import (
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
)

func TestUnsettledAcksEachOnce(t *testing.T) {
	t.Parallel()
	var u unsettled
	acked := func(m *message.Message) bool {
		select {
		case <-m.Acked():
			return true
		default:
			return false
		}
	}
	var all []*message.Message
	for range 10 {
		m := message.NewMessage("", nil)
		all = append(all, m)
		if tag := u.add(m); tag != uint64(len(all)) {
			t.Fatalf("tag %d of message %d", tag, len(all))
		}
	}
	for _, tag := range []uint64{3, 1, 2, 2, 10, 99, 0, 4, 1} {
		u.ack(tag)
	}
	for i, m := range all {
		tag := i + 1
		if want := tag <= 4 || tag == 10; acked(m) != want {
			t.Errorf("message %d: acked is %v", tag, !want)
		}
	}
	if u.first != 4 || len(u.messages) != 6 {
		t.Errorf("keeps %d messages from %d on", len(u.messages), u.first+1)
	}
	if tag := u.add(message.NewMessage("", nil)); tag != 11 {
		t.Errorf("tag %d after 10", tag)
	}
}
