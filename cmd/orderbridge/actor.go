package main

import (
	"os"
	"os/user"

	"orderbridge/internal/store"
)

// whoRuns is who runs a command, as far as the operating system tells.
func whoRuns() store.Actor {
	a := store.Actor{Via: "cli"}
	if u, err := user.Current(); err == nil {
		a.Name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		a.Address = host
	}
	return a
}
