// Package callers tells who sends an HTTP request to the program, as far as the
// request itself and its connection tell: from which network, under which name of
// ours, from which web page. It knows no tokens.
package callers
