// Package config is what an operator can set: one struct, read by envconfig
// from environment variables with the prefix ORDERBRIDGE, with its defaults,
// its validation and its redacted form. Only cmd/orderbridge reads it; the
// parts of the bridge get the values that they need.
//
// Nothing that this package prints or returns as an error holds a secret.
package config
