// Package secrets reads what subscription records only refer to: environment
// variables, files and sealed values, each confined to the tenant, the
// subscription and the host that it is for. No error of it holds a secret.
package secrets
