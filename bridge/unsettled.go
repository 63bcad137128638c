package bridge

import (
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
)

// unsettled are the feed's messages of which something is owed in memory, by the
// tags under which the machine knows them.
type unsettled struct {
	mu       sync.Mutex
	last     uint64
	messages map[uint64]*message.Message
}

func (u *unsettled) add(m *message.Message) (tag uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.messages == nil {
		u.messages = map[uint64]*message.Message{}
	}
	u.last++
	u.messages[u.last] = m
	return u.last
}

// ack acknowledges the message to the feed.
func (u *unsettled) ack(tag uint64) {
	u.mu.Lock()
	m := u.messages[tag]
	delete(u.messages, tag)
	u.mu.Unlock()
	if m != nil {
		m.Ack()
	}
}
