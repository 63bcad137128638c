package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// sessionsKey holds which sessions of browsers have ended before their time, in the
// bucket of the lease, where only bridges write.
const sessionsKey = "sessions"

// Session is how a session of a browser is known among those that have ended.
type Session struct {
	Whose string // the token's, or the person's
	ID    string // of this one; "": all of theirs that have begun by now
	Begun time.Time
}

func (s Session) key() string {
	if s.ID == "" {
		return s.Whose
	}
	return s.Whose + "/" + s.ID
}

// endedSession is a session that has ended, or all of somebody's that began at Before
// or earlier. At Until they have ended by themselves. Both are ms since 1970.
type endedSession struct {
	Before int64 `json:"b"`
	Until  int64 `json:"u"`
}

// endedSessions are those that have ended, by Session.key.
type endedSessions map[string]endedSession

func (e endedSessions) has(s Session) bool {
	if _, own := e[s.key()]; own && s.ID != "" {
		return true // whatever the clocks say
	}
	all, there := e[s.Whose]
	return there && s.Begun.UnixMilli() <= all.Before
}

// add notes that a session ends at a time; false if there are too many already.
func (e endedSessions) add(s Session, now time.Time, within time.Duration) bool {
	for key, x := range e {
		if x.Until < now.UnixMilli() {
			delete(e, key)
		}
	}
	if s.ID != "" {
		e.makeRoom(s.Whose)
	}
	if _, there := e[s.key()]; !there && len(e) >= limits.SessionsEnded {
		return false
	}
	// The clock that it began by may go before ours.
	before := max(s.Begun.UnixMilli(), now.UnixMilli())
	if s.ID != "" {
		before = s.Begun.UnixMilli()
	}
	e[s.key()] = endedSession{max(before, e[s.key()].Before), now.Add(within).UnixMilli()}
	return true
}

// makeRoom keeps somebody from filling the notes by logging in and out: where many of
// their sessions are noted one by one, one note ends all that are as old as the oldest
// of these.
func (e endedSessions) makeRoom(whose string) {
	oldest, count := "", 0
	for key, x := range e {
		if strings.HasPrefix(key, whose+"/") {
			if count++; oldest == "" || x.Before < e[oldest].Before {
				oldest = key
			}
		}
	}
	if count < limits.SessionsEndedEach {
		return
	}
	all, x := e[whose], e[oldest]
	e[whose] = endedSession{max(all.Before, x.Before), max(all.Until, x.Until)}
	delete(e, oldest)
}

// sessionsRead is what was read of them last.
type sessionsRead struct {
	mu    sync.Mutex
	ended endedSessions // nil: never
	asked time.Time

	writing chan struct{} // has room for who writes
}

// SessionEnded tells whether a session was ended. What others have ended is known some
// seconds later. The error means that nothing is known yet.
func (c *Catalog) SessionEnded(ctx context.Context, session Session) (bool, error) {
	s := c.sessions
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.asked) >= limits.SessionsReread {
		// Whoever asks may go away, and on purpose; what is read is for all.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.SessionsReread)
		defer cancel()
		ended, _, err := c.endedSessions(ctx)
		s.asked = time.Now()
		if err == nil {
			s.ended = ended
		} else if s.ended == nil {
			return false, err
		}
	}
	if s.ended == nil {
		return false, errors.New("the sessions that have ended could not be read")
	}
	return s.ended.has(session), nil
}

// EndSessions ends a session, or all of somebody's that have begun by now. They would
// end by themselves within a time.
func (c *Catalog) EndSessions(ctx context.Context, session Session, within time.Duration) error {
	// Who logs out may close the window at once.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.SessionsEndTime)
	defer cancel()
	select {
	case c.sessions.writing <- struct{}{}: // those of one replica do not get into each other's way
		defer func() { <-c.sessions.writing }()
	case <-ctx.Done():
		return errors.New("note that sessions have ended: many do at the same time")
	}
	for try := range limits.SessionsEndTries {
		ended, revision, err := c.endedSessions(ctx)
		if err != nil {
			return err
		}
		if !ended.add(session, time.Now(), within) {
			return fmt.Errorf("%d sessions were ended before their time lately; no further one can be noted", len(ended))
		}
		data, err := json.Marshal(ended)
		if err != nil {
			return err
		}
		_, err = c.js.Publish(ctx, writeSubject(c.js, c.names.Lease, sessionsKey), data, jetstream.WithExpectLastSequencePerSubject(revision))
		if err == nil {
			c.sessions.mu.Lock()
			c.sessions.ended = ended
			c.sessions.mu.Unlock()
			return nil
		}
		if errorCode(err) != codeWrongLastSequence {
			return fmt.Errorf("note that sessions have ended: %w", err)
		}
		select {
		case <-time.After(rand.N(time.Duration(try+1) * 10 * time.Millisecond)): // another replica writes
		case <-ctx.Done():
		}
	}
	return errors.New("note that sessions have ended: others do at the same time")
}

func (c *Catalog) endedSessions(ctx context.Context) (endedSessions, uint64, error) {
	ended := endedSessions{}
	m, err := msgget.Last(ctx, c.js, bucketStream(c.names.Lease), bucketSubject(c.names.Lease, sessionsKey))
	switch {
	case errors.Is(err, protocol.ErrNotFound):
		return ended, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read the sessions that have ended: %w", err)
	case isMarker(m.Header):
		return ended, m.Seq, nil
	}
	if err := json.Unmarshal(m.Data, &ended); err != nil || ended == nil {
		ended = endedSessions{} // somebody else wrote it
	}
	return ended, m.Seq, nil
}
