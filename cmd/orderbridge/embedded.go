package main

import (
	"context"
	"errors"
	"time"

	"orderbridge/config"
	"orderbridge/internal/embedded"
	"orderbridge/internal/store"
)

// roomCheck is how often a full disk is looked at again.
const roomCheck = 2 * time.Second

// startEmbedded starts the server in this process. A full disk is waited out.
func (a *app) startEmbedded(ctx context.Context) (*embedded.Server, error) {
	a.waiting("starting the embedded server")
	said := false
	for {
		s, err := embedded.Start(embedded.Options{Dir: a.cfg.DataDir, Listen: a.cfg.NATS.Listen,
			Credentials: a.cfg.EmbeddedAuth == config.AuthCredentials,
			Sync:        a.cfg.EmbeddedSync == config.SyncAlways, Logger: a.log})
		var full *embedded.NoRoomError
		switch {
		case err == nil:
			a.inside.Store(s)
			return s, nil
		case !errors.As(err, &full):
			return nil, err
		}
		a.waiting(full.Error())
		if !said {
			a.log.Error(full.Error())
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(roomCheck):
		}
	}
}

// tellEmbedded says in one line where the embedded server is, and for whom it is open.
func (a *app) tellEmbedded() {
	switch {
	case a.cfg.NATS.Listen == "":
	case a.cfg.EmbeddedAuth == config.AuthCredentials:
		a.log.Info("embedded NATS server", "url", a.server.URL(), "data", a.cfg.DataDir, "auth", "credentials: `orderbridge nats context` makes a context for the program nats")
	default:
		a.log.Info("embedded NATS server", "url", a.server.URL(), "data", a.cfg.DataDir, "auth", "open: every user of this machine may read and change everything in it; ORDERBRIDGE_EMBEDDED_AUTH=credentials closes it")
	}
}

// storeOptions are those of the bus that is in use.
func (a *app) storeOptions() store.Options {
	o := storeOptions(a.cfg, a.log)
	if a.server != nil {
		o.Storage = a.server.MaxStore()
	}
	return o
}
