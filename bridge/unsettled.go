package bridge

import (
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// unsettled are the feed's messages of which something is owed in memory, by the
// tags under which the machine knows them: one after the other, from 1 on.
type unsettled struct {
	mu       sync.Mutex
	first    uint64             // the tag of messages[0], less one
	messages []*message.Message // nil: settled
}

func (u *unsettled) add(m *message.Message) (tag uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.messages = append(u.messages, m)
	return u.first + uint64(len(u.messages))
}

// ack acknowledges the message to the feed.
func (u *unsettled) ack(tag uint64) {
	if m := u.take(tag); m != nil {
		m.Ack()
	}
}

func (u *unsettled) take(tag uint64) *message.Message {
	u.mu.Lock()
	defer u.mu.Unlock()
	i := tag - u.first - 1 // of a tag that is gone: beyond all
	if i >= uint64(len(u.messages)) {
		return nil
	}
	m := u.messages[i]
	u.messages[i] = nil
	n := 0
	for n < len(u.messages) && u.messages[n] == nil {
		n++
	}
	u.messages, u.first = u.messages[n:], u.first+uint64(n)
	return m
}
