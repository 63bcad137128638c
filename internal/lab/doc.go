// Package lab is what tests and the harnesses of bench need around the program:
// buses and clusters of servers, proxies that fail, the built program as a
// process, endpoints that keep a journal, and the check of a journal against
// what was published. Everything is real and on this machine.
//
// What a test alone uses takes a testing.TB; what a harness uses as well returns
// errors.
package lab
