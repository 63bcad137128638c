package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// LetterFilter says which dead letters are meant; the zero value means all.
type LetterFilter struct {
	Subscription string    `json:"subscription,omitempty"`
	Since        time.Time `json:"since,omitzero"`   // given up at or after it
	Until        time.Time `json:"until,omitzero"`   // given up before it
	Reason       string    `json:"reason,omitempty"` // part of the reason, in upper or lower case
	Order        string    `json:"order,omitempty"`  // of this order
}

// selects tells whether it passes over some of a subscription's.
func (f *LetterFilter) selects() bool {
	return !f.Since.IsZero() || !f.Until.IsZero() || f.Reason != "" || f.Order != ""
}

func (f *LetterFilter) wants(l *Letter) bool {
	return (f.Subscription == "" || f.Subscription == l.Subscription) &&
		(f.Since.IsZero() || !l.Time.Before(f.Since)) && (f.Until.IsZero() || l.Time.Before(f.Until)) &&
		(f.Order == "" || f.Order == l.Order) &&
		(f.Reason == "" || strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason)))
}

// LettersRequest asks that dead letters are put back, or removed: the oldest first,
// some at a time. Whoever asks goes on with Next and Through of the answer as long as
// there are more.
type LettersRequest struct {
	LetterFilter
	After   uint64 `json:"after,omitempty"`   // those above this sequence
	Through uint64 `json:"through,omitempty"` // and at or below it; 0: those there are by now
	Limit   int    `json:"limit,omitempty"`   // at most so many; 0: limits.LettersRedriven
}

// LettersAnswer says what became of them.
type LettersAnswer struct {
	Done    int             `json:"done"`              // that are owed again, or removed
	Refused int             `json:"refused"`           // that stay as they are
	Already int             `json:"already,omitempty"` // that were owed again, or gone, before
	Letters []LetterOutcome `json:"letters"`           // all of these, one by one
	More    bool            `json:"more,omitempty"`    // ask again, with these:
	Next    uint64          `json:"next"`              // what to give as `after`
	Through uint64          `json:"through"`           // what to give as `through`
	Wait    bool            `json:"wait,omitempty"`    // not at once: a subscription owes too much at present
}

// LetterOutcome is what became of one.
type LetterOutcome struct {
	Sequence     uint64 `json:"deadLetter"`
	Subscription string `json:"subscription"`
	Refused      string `json:"refused,omitempty"` // why; "": it is done
	Already      bool   `json:"already,omitempty"` // it was done before
}

// RedriveLetters puts dead letters back as owed, those of one order in the order
// of their events. The leader sends them so as well, one after another. ErrNoLeader
// if nobody leads.
func (c *Catalog) RedriveLetters(ctx context.Context, scope Scope, r LettersRequest) (LettersAnswer, error) {
	return c.eachLetter(ctx, scope, r, func(ctx context.Context, l *Letter) (string, error) {
		var no *RefusedError
		_, err := c.Redrive(ctx, scope, l.Sequence)
		switch {
		case errors.Is(err, protocol.ErrOwedAgain), errors.Is(err, protocol.ErrNotFound):
			return "", errAlready
		case errors.Is(err, protocol.ErrLanesFull):
			return "", protocol.ErrLanesFull
		case errors.As(err, &no):
			return no.Reason, nil
		}
		return "", err
	})
}

// RemoveSome removes dead letters for good.
func (c *Catalog) RemoveSome(ctx context.Context, scope Scope, r LettersRequest) (LettersAnswer, error) {
	a, err := c.eachLetter(ctx, scope, r, func(ctx context.Context, l *Letter) (string, error) {
		err := c.RemoveLetter(ctx, l.Sequence)
		if errors.Is(err, protocol.ErrNotFound) || errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			err = nil
		}
		return "", err
	})
	if a.Done > 0 {
		if told := c.TellRemoved(ctx, RemovedRequest{Action: ActionPurgeLetters, Subscription: r.Subscription, Count: a.Done}); told != nil && err == nil {
			err = fmt.Errorf("%d were removed, but the audit does not tell it: %w", a.Done, told)
		}
	}
	return a, err
}

// eachLetter does something with each dead letter that is meant, within bounds.
func (c *Catalog) eachLetter(ctx context.Context, scope Scope, r LettersRequest, do func(context.Context, *Letter) (refused string, err error)) (a LettersAnswer, err error) {
	limit := r.Limit
	if limit <= 0 || limit > limits.LettersRedriven {
		limit = limits.LettersRedriven
	}
	began := time.Now()
	list, next, through, err := c.oldest(ctx, scope, r, limit)
	a.Through, a.Letters = through, []LetterOutcome{}
	if err != nil {
		return a, err
	}
	slices.SortStableFunc(list, func(x, y Letter) int { return cmp.Compare(x.DeadLetter.Sequence, y.DeadLetter.Sequence) })
	for i := range list {
		l := &list[i]
		if i > 0 && time.Since(began) > limits.LettersRedriveFor {
			return a.again(r), nil
		}
		refused, err := do(ctx, l)
		switch {
		case errors.Is(err, protocol.ErrLanesFull):
			a.Wait = true
			return a.again(r), nil
		case errors.Is(err, errAlready):
			a.Already++
			a.Letters = append(a.Letters, LetterOutcome{Sequence: l.Sequence, Subscription: l.Subscription, Already: true})
		case err != nil && a.Done > 0: // those are told; who asks for the rest hears of the error
			return a.again(r), nil
		case err != nil:
			return a, fmt.Errorf("dead letter %d: %w", l.Sequence, err)
		default:
			a.Letters = append(a.Letters, LetterOutcome{Sequence: l.Sequence, Subscription: l.Subscription, Refused: refused})
			if refused != "" {
				a.Refused++
			} else {
				a.Done++
			}
		}
	}
	a.Next, a.More = next, next > 0
	return a, nil
}

// again has the same letters asked for once more: those that are done are passed over.
func (a LettersAnswer) again(r LettersRequest) LettersAnswer {
	a.Next, a.More = r.After, true
	return a
}

var errAlready = errors.New("done before")

// oldest returns the first limit letters in the order of their sequences, where to
// go on (0: there are no more), and up to which sequence there are letters.
func (c *Catalog) oldest(ctx context.Context, scope Scope, q LettersRequest, limit int) (list []Letter, next, through uint64, err error) {
	stream, err := c.letterStream(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	state := stream.CachedInfo().State
	through = state.LastSeq
	if q.Through > 0 {
		through = min(q.Through, state.LastSeq)
	}
	r := c.letterReader(scope, stream, q.LetterFilter)
	for low := max(q.After+1, state.FirstSeq); state.Msgs > 0 && low <= through; {
		high := min(through, low+limits.LetterWindow-1)
		some, err := r.read(ctx, low, high, limits.LetterWindow)
		if err != nil {
			return nil, 0, through, fmt.Errorf("read stream %q: %w", c.names.DeadLetters, err)
		}
		slices.Reverse(some)
		list = append(list, some...)
		if len(list) >= limit {
			list = list[:limit]
			if last := list[limit-1].Sequence; last < through {
				next = last
			}
			return list, next, through, nil
		}
		if low = high + 1; r.looked >= limits.APIPageReads && low <= through {
			return list, high, through, nil
		}
	}
	return list, 0, through, nil
}
