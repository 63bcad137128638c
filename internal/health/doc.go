// Package health is the HTTP server that operators and orchestrators ask:
// /healthz, /readyz and /metrics. None of them needs a token or tells a secret.
package health
