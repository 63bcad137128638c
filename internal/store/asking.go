package store

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"orderbridge/internal/limits"
)

// reply is what came of asking once.
type reply struct {
	data []byte
	err  error
}

// askPatiently asks until a bridge that has time answers, or ctx ends: once more where
// one is busy, and, for a question that may come twice, ever more rarely where nothing
// comes, since a bridge that is flooded does not see all. The error is that of ctx
// only where no bridge has said that it is busy.
func (c *Catalog) askPatiently(ctx context.Context, name string, body []byte) ([]byte, error) {
	asking, end := context.WithCancel(ctx)
	var tries sync.WaitGroup
	defer tries.Wait()
	defer end()
	answers := make(chan reply)
	try := func() {
		tries.Go(func() {
			var a reply
			a.data, a.err = ask(asking, c.js, c.names.Commands+"."+name, body, nil)
			select {
			case answers <- a:
			case <-asking.Done():
			}
		})
	}
	pause := limits.QuestionAgain
	silent := time.NewTimer(pause)
	defer silent.Stop()
	var refused []byte
	var again <-chan time.Time
	for try(); ; {
		select {
		case a := <-answers:
			switch {
			case a.err != nil && ctx.Err() != nil && refused != nil:
				return refused, nil
			case a.err != nil, !bytes.Equal(a.data, busy):
				return a.data, a.err
			}
			refused = a.data
			again = time.After(limits.QuestionPause + rand.N(limits.QuestionPause))
		case <-again:
			again = nil
			try()
		case <-silent.C:
			pause *= 2
			silent.Reset(pause)
			if name != "test" && again == nil {
				try()
			}
		case <-ctx.Done():
			if refused != nil {
				return refused, nil
			}
			return nil, ctx.Err()
		}
	}
}
