package store

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"golang.org/x/time/rate"

	"orderbridge/internal/limits"
)

// busy is the answer to a question for which there is no time. A flood of them is
// answered thus, so it is written once.
var busy = []byte(`{"reason":"too many questions at once; try again in a second","code":429}`)

func tellBusy(req micro.Request) error {
	const code = http.StatusTooManyRequests
	return req.Error(strconv.Itoa(code), http.StatusText(code), busy)
}

// question is one that waits.
type question struct {
	req   micro.Request
	since time.Time
}

// queued has questions wait for one of so many that answer at the same time. The
// handler itself never waits: what may not come in, or has waited until nobody
// listens for the answer any more, is told to come again.
func (c Commands) queued(ctx context.Context, most int, answer micro.HandlerFunc) micro.HandlerFunc {
	pace := rate.NewLimiter(limits.ServiceRate, limits.ServiceBurst)
	waiting := make(chan question, limits.QuestionsWaiting)
	var bytes atomic.Int64
	refuse := func(req micro.Request) {
		if err := tellBusy(req); err != nil {
			c.Log.Debug("question could not be refused", "subject", req.Subject(), "error", err)
		}
	}
	for range most {
		c.tasks.Go(func() {
			for {
				select {
				case <-ctx.Done():
					return
				case q := <-waiting:
					bytes.Add(-int64(len(q.req.Data())))
					if time.Since(q.since) > limits.QuestionWait {
						refuse(q.req)
						continue
					}
					answer(q.req)
				}
			}
		})
	}
	return func(req micro.Request) {
		size := int64(len(req.Data()))
		switch {
		case req.Reply() == "":
			return // nobody would hear the answer
		case !pace.Allow():
		case bytes.Add(size) > limits.ServicePendingBytes:
			bytes.Add(-size)
		default:
			select {
			case waiting <- question{c.later(req), time.Now()}:
				return
			default:
				bytes.Add(-size)
			}
		}
		refuse(req)
	}
}

// later is a request that is answered when its handler has returned: the service
// counts what the handler did, and reads the request then.
func (c Commands) later(req micro.Request) micro.Request {
	if _, former := req.(plainRequest); former {
		return req
	}
	return laterRequest{req, c.Conn}
}

type laterRequest struct {
	micro.Request
	conn *nats.Conn
}

// Respond implements micro.Request.
func (r laterRequest) Respond(data []byte, _ ...micro.RespondOpt) error {
	return r.conn.Publish(r.Reply(), data)
}

// Error implements micro.Request.
func (r laterRequest) Error(code, description string, data []byte, _ ...micro.RespondOpt) error {
	return r.conn.PublishMsg(&nats.Msg{Subject: r.Reply(), Data: data,
		Header: nats.Header{micro.ErrorHeader: {description}, micro.ErrorCodeHeader: {code}}})
}
