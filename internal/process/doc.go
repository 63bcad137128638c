// Package process is what the program asks of the Go runtime and the operating
// system for itself: heap, open files, core dumps.
package process
