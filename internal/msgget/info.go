package msgget

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/limits"
)

// ErrNoLeader says that there is no leader at present, or that whoever answered may be a
// former one. It passes by itself.
var ErrNoLeader = errors.New("the stream has no leader at present")

// Info reads the configuration and the state of a stream as its leader knows
// them; ErrNoLeader if it was not surely the leader that answered. STREAM.INFO
// alone is not enough: while a stream has no leader every replica answers, and
// a leader that was cut off or stood still answers until it learns of its
// successor. Both may lack what others have confirmed.
func Info(ctx context.Context, js jetstream.JetStream, stream string) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.MessageGetTime)
	defer cancel()
	var s jetstream.Stream
	err := unlessDenied(ctx, APIPrefix(js)+"STREAM.INFO."+stream, func(ctx context.Context) (err error) {
		s, err = js.Stream(ctx, stream)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the state of stream %q: %w", stream, err)
	}
	info := s.CachedInfo()
	if why := doubt(info); why != "" {
		return nil, fmt.Errorf("read the state of stream %q: %w: %s", stream, ErrNoLeader, why)
	}
	return info, nil
}

// doubt says why an answer may be that of another replica than the leader.
func doubt(info *jetstream.StreamInfo) string {
	c := info.Cluster
	if c == nil || len(c.Replicas) == 0 && c.Leader != "" {
		return "" // one replica
	}
	if c.Leader == "" {
		return "it is being elected"
	}
	answered := 1
	for _, r := range c.Replicas {
		if r.Name == c.Leader {
			return "a follower has answered"
		}
		if r.Active > 0 && r.Active < limits.ReplicaContact {
			answered++
		}
	}
	if 2*answered <= len(c.Replicas)+1 {
		return fmt.Sprintf("%s hears of %d of %d others", c.Leader, answered-1, len(c.Replicas))
	}
	return ""
}

// Settled tells whether, by the answer of Info, no former leader can be left
// that does not know it: only then does ErrNotFound of the other functions
// mean that there is no such message.
func Settled(info *jetstream.StreamInfo) bool {
	c := info.Cluster
	if c == nil || len(c.Replicas) == 0 || c.LeaderSince == nil {
		return true
	}
	// One that was elected with the stream had no predecessor.
	first := c.LeaderSince.Sub(info.Created) < limits.ReplicaContact
	return first || info.TimeStamp.Sub(*c.LeaderSince) > limits.FormerLeaderTime
}
