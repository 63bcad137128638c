// Package health is the HTTP server of the program. It answers what operators
// and orchestrators ask: /healthz, /readyz and /metrics, which need no token and
// tell no secret; all else goes to another handler.
package health
