package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// settings of one server of a cluster, as its process gets them.
type settings struct {
	Name     string
	Port     int
	Cluster  int      // port of its routes
	Routes   []string // host:port of the others, each behind a proxy
	Dir, Log string
}

// Node is the main function of the process of a cluster's server. Its last argument holds the
// settings; it ends by SIGTERM, or when its standard input is closed.
func Node() {
	if err := node([]byte(os.Args[len(os.Args)-1])); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func node(arg []byte) error {
	var n settings
	if err := json.Unmarshal(arg, &n); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	s, err := n.start()
	if err != nil {
		return err
	}
	if !s.ReadyForConnections(Patience) {
		return errors.New("not ready for connections")
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	orphaned := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(orphaned)
	}()
	select {
	case <-ended:
	case <-orphaned:
	}
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// start runs the server in this process.
func (n settings) start() (*server.Server, error) {
	o := &server.Options{
		ServerName: n.Name, Host: "127.0.0.1", Port: n.Port, NoSigs: true, LogFile: n.Log, Logtime: true,
		NoLog:     n.Log == "",
		JetStream: true, StoreDir: n.Dir, PingInterval: 2 * time.Second, MaxPingsOut: 5,
	}
	if len(n.Routes) > 0 {
		o.Cluster = server.ClusterOpts{Name: "lab", Host: "127.0.0.1", Port: n.Cluster, NoAdvertise: true,
			// Nobody listens there: servers that tell each other of a third one
			// must not find a way around its proxy.
			Advertise: "127.0.0.1:9", PingInterval: 2 * time.Second, MaxPingsOut: 5}
		for _, r := range n.Routes {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: r})
		}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.ConfigureLogger()
	s.Start()
	return s, nil
}
