package store

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"orderbridge/internal/limits"
)

// busy is the answer to a question for which there is no time. A flood of them is
// answered thus, so it is written once.
var busy = []byte(`{"reason":"too many questions at once; try again in a second","code":429}`)

func tellBusy(req *request) error {
	defer func() { req.counts.add(0, req.refused) }()
	return req.refuse(http.StatusTooManyRequests, busy)
}

// question is one that waits.
type question struct {
	req   *request
	since time.Time
}

// queued has questions wait for one of so many that answer at the same time. The
// handler itself never waits: what may not come in, or has waited until nobody
// listens for the answer any more, is told to come again.
func (c Commands) queued(ctx context.Context, most int, answer func(*request)) func(*request) {
	pace := rate.NewLimiter(limits.ServiceRate, limits.ServiceBurst)
	waiting := make(chan question, limits.QuestionsWaiting)
	var bytes atomic.Int64
	refuse := func(req *request) {
		if err := tellBusy(req); err != nil {
			c.Log.Debug("question could not be refused", "subject", req.Subject, "error", err)
		}
	}
	for range most {
		c.tasks.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case q := <-waiting:
					bytes.Add(-int64(len(q.req.Data)))
					if time.Since(q.since) > limits.QuestionWait {
						refuse(q.req)
					} else {
						answer(q.req)
					}
					c.open.Add(-1)
				}
			}
		})
	}
	return func(req *request) {
		size := int64(len(req.Data))
		switch {
		case req.Reply == "":
			return // nobody would hear the answer
		case !pace.Allow():
		case bytes.Add(size) > limits.ServicePendingBytes:
			bytes.Add(-size)
		default:
			c.open.Add(1)
			select {
			case waiting <- question{req, time.Now()}:
				return
			default:
				c.open.Add(-1)
				bytes.Add(-size)
			}
		}
		refuse(req)
	}
}
