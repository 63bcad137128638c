// Package embedded runs a JetStream server inside the process, on a data
// directory that it holds alone.
package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"orderbridge/internal/limits"
)

// Options of the embedded server.
type Options struct {
	Dir         string       // data directory; made if absent, locked while the server runs
	Listen      string       // host:port, port 0 for any free one; "" for in-process connections only
	Credentials bool         // who connects from outside needs the seed in SeedFile, which is made if absent
	Sync        bool         // fsync on every write: what a single server needs to survive a power loss
	Logger      *slog.Logger // nil: slog.Default()
}

// Server is a running embedded server. It is a nats.InProcessConnProvider.
type Server struct {
	options Options
	log     *slog.Logger
	lock    *os.File
	stop    sync.Once
	keys    keys
	unread  string        // why the credentials could not be read
	quit    chan struct{} // ends watch
	watched chan struct{} // watch has ended

	mu      sync.Mutex
	s       *server.Server
	port    int    // where it listens, over restarts
	problem string // see Problem
}

var _ nats.InProcessConnProvider = (*Server)(nil)

// Start locks the directory, starts the server on it and waits until it accepts
// connections. A directory that another process holds is an error that names
// it, one on a full disk a *noRoomError.
func Start(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkRoom(o.Dir); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	e := &Server{options: o, log: o.Logger, lock: lock, quit: make(chan struct{}), watched: make(chan struct{})}
	if err := e.run(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	go e.watch()
	return e, nil
}

// serverOptions are those of the server itself, also another time on the same port.
func (e *Server) serverOptions(users []*server.NkeyUser) (*server.Options, error) {
	o := e.options
	opts := &server.Options{
		ServerName:        "orderbridge",
		JetStream:         true,
		StoreDir:          o.Dir,
		JetStreamMaxStore: maxStore(o.Dir),
		SyncAlways:        o.Sync,
		NoSigs:            true,
		NoLog:             true,
		DontListen:        o.Listen == "",
		Nkeys:             users,
	}
	bound(opts)
	if o.Listen != "" {
		var err error
		if opts.Host, opts.Port, err = splitListen(o.Listen); err != nil {
			return nil, err
		}
		if e.port != 0 {
			opts.Port = e.port
		}
	}
	return opts, nil
}

// run starts the server.
func (e *Server) run() error {
	o := e.options
	users, err := e.users()
	if err != nil {
		return err
	}
	opts, err := e.serverOptions(users)
	if err != nil {
		return err
	}
	if o.Listen != "" {
		if err := checkAddress(o.Listen, opts.Host, opts.Port); err != nil {
			return err
		}
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("embedded server: %w", err)
	}
	log := &logger{log: o.Logger.With("component", "embedded")}
	s.SetLoggerV2(log, false, false, false)
	s.Start()
	if err := ready(s, log); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		if full := checkRoom(o.Dir); full != nil {
			return full
		}
		return fmt.Errorf("embedded server on %q: %w; ORDERBRIDGE_DATA_DIR is where it keeps its data", o.Dir, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.s = s
	if a, ok := s.Addr().(*net.TCPAddr); ok {
		e.port = a.Port
	}
	return nil
}

// checkAddress tells why nobody can listen there, before the server says it in
// words that name no setting.
func checkAddress(listen, host string, port int) error {
	if port == server.RANDOM_PORT {
		port = 0
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))) //nolint:noctx // it only binds
	if err != nil {
		return fmt.Errorf("the embedded NATS server cannot listen on %q: %w; set ORDERBRIDGE_NATS_LISTEN to a free address, or to nothing for connections from inside only", listen, err)
	}
	return l.Close()
}

// ready waits until the server accepts connections, or has said why it never will.
func ready(s *server.Server, log *logger) error {
	for deadline := time.Now().Add(limits.EmbeddedStartTime); time.Now().Before(deadline); {
		if s.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
		if why := log.fatal(); why != "" {
			return errors.New(why)
		}
	}
	return fmt.Errorf("not ready after %s", limits.EmbeddedStartTime)
}

// InProcessConn opens a connection without a socket.
func (e *Server) InProcessConn() (net.Conn, error) { return e.server().InProcessConn() }

func (e *Server) server() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.s
}

// URL is where clients outside the process connect; "" without Listen.
func (e *Server) URL() string {
	s := e.server()
	if s.Addr() == nil {
		return ""
	}
	return s.ClientURL()
}

// Stop ends the server, waits for it and releases the directory. It may be called twice.
func (e *Server) Stop() {
	e.stop.Do(func() {
		close(e.quit)
		<-e.watched
		s := e.server()
		s.Shutdown()
		s.WaitForShutdown()
		e.lock.Close() // ends the flock
	})
}

func lockDir(dir string) (*os.File, error) {
	if dir == "" {
		return nil, errors.New("embedded server: no data directory given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "orderbridge.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, unusable(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %q is in use by another process: stop it, or set ORDERBRIDGE_DATA_DIR to another directory", dir)
		}
		return nil, fmt.Errorf("lock data directory %q: %w", dir, err)
	}
	return f, nil
}

// unusable names the setting of a directory that nothing can be written to.
func unusable(err error) error {
	return fmt.Errorf("the data directory cannot be used: %w; set ORDERBRIDGE_DATA_DIR to a directory that this user may write to, or ORDERBRIDGE_NATS_URL to use a NATS server of your own", err)
}

func splitListen(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: %w", addr, err)
	}
	if port, err = strconv.Atoi(p); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: bad port", addr)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	if host == "" {
		host = server.DEFAULT_HOST
	}
	return host, port, nil
}

// logger passes what the server has to say on; its routine notices are debug here.
type logger struct {
	log *slog.Logger
	mu  sync.Mutex
	why string // it gave up
}

func (l *logger) fatal() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why
}

func (l *logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *logger) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *logger) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *logger) Debugf(string, ...any)           {}
func (l *logger) Tracef(string, ...any)           {}

func (l *logger) Fatalf(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.why = strings.TrimSpace(fmt.Sprintf(format, v...))
}
