package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"

	"orderbridge/internal/limits"
)

// A full disk does not end by itself for a NATS server: a stream that once could
// not be written takes nothing any more until the server is started again. So
// the server is watched, and started again as soon as there is room. Meanwhile
// nothing is confirmed to anybody, so nothing is lost.

// ownPart is what the server's data may take of the disk: the last part is kept
// free, so that what is there can still be read, and removed.
const ownPart = 0.85

// noRoomError says that the disk of the data directory is full.
type noRoomError struct {
	Dir            string
	Free, Capacity int64 // bytes
}

func (e *noRoomError) Error() string {
	return fmt.Sprintf("the disk of the data directory %q is full: %s free of %s; make room there, or set ORDERBRIDGE_DATA_DIR to another disk. It goes on by itself", e.Dir, mib(e.Free), mib(e.Capacity))
}

// Await is Start, but waits a full disk out; waiting is told of it.
func Await(ctx context.Context, o Options, waiting func(reasons ...string)) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	said := false
	for {
		s, err := Start(o)
		var full *noRoomError
		if !errors.As(err, &full) {
			return s, err
		}
		waiting(full.Error())
		if !said {
			o.Logger.Error(full.Error())
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(limits.DiskCheck):
		}
	}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// disk tells the free bytes and the size of the disk of a directory.
func disk(dir string) (free, capacity int64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %q: %w", dir, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), int64(fs.Blocks) * int64(fs.Bsize), nil //nolint:unconvert // other types elsewhere
}

// checkRoom is nil also where the disk cannot be looked at.
func checkRoom(dir string) error {
	free, capacity, err := disk(dir)
	if err != nil || free >= limits.DiskRoom {
		return nil //nolint:nilerr // the server will say it
	}
	return &noRoomError{dir, free, capacity}
}

// maxStore depends on the size of the disk and not on what is free at the
// start, which the server would take for ever; 0 where it cannot be told.
func maxStore(dir string) int64 {
	_, capacity, err := disk(dir)
	if err != nil {
		return 0
	}
	return int64(ownPart * float64(capacity))
}

// MaxStore is what the server's streams may take together, bytes; 0 if that is
// not known.
func (e *Server) MaxStore() int64 { return maxStore(e.options.Dir) }

// Problem is why the server takes nothing, "" if it does.
func (e *Server) Problem() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

// watch starts the server again when it takes nothing and there is room.
func (e *Server) watch() {
	defer close(e.watched)
	tick := time.NewTicker(limits.DiskCheck)
	defer tick.Stop()
	wait, last := limits.DiskRestartFirst, time.Time{}
	for {
		select {
		case <-e.quit:
			return
		case <-tick.C:
		}
		e.follow()
		sick := e.sickness()
		full := checkRoom(e.options.Dir)
		if sick == "" {
			if time.Since(last) > limits.DiskRestartMost {
				wait = limits.DiskRestartFirst
			}
			e.tell(e.fullness())
			continue
		}
		if full != nil {
			e.tell(full.Error())
			continue
		}
		e.tell("the embedded server takes nothing: " + sick + "; it is started again")
		if time.Since(last) < wait {
			continue
		}
		e.restart()
		wait, last = min(2*wait, limits.DiskRestartMost), time.Now()
	}
}

// sickness is what the server itself finds wrong, "" if nothing.
func (e *Server) sickness() string {
	return e.server().Healthz(&server.HealthzOptions{}).Error
}

// fullness is said when the streams have taken all that they may: the server
// then refuses every write, until events are removed.
func (e *Server) fullness() string {
	may := e.MaxStore()
	info, err := e.server().Jsz(nil)
	if err != nil || may == 0 || info.Store < uint64(may) {
		return ""
	}
	return fmt.Sprintf("the streams take all of the %s that they may take on the disk of the data directory %q: remove events that nobody needs, as with `nats stream purge`, or set ORDERBRIDGE_DATA_DIR to a larger disk", mib(may), e.options.Dir)
}

func (e *Server) restart() {
	s := e.server()
	s.Shutdown()
	s.WaitForShutdown()
	if err := e.run(); err != nil {
		e.tell(err.Error())
		return
	}
	e.log.Warn("the embedded server was started again, since it took nothing and there is room on its disk",
		"data", e.options.Dir)
}

// tell keeps the problem for Problem, and logs it when it is another one.
func (e *Server) tell(problem string) {
	e.mu.Lock()
	was := e.problem
	e.problem = problem
	e.mu.Unlock()
	if problem != "" && was == "" {
		e.log.Error(problem)
	}
}
