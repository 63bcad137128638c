//go:build unix

package process

import "syscall"

// openFiles is how many files the process may open; the Go runtime has raised
// its soft limit to the hard one, also for the embedded server.
func openFiles() (n uint64, known bool) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0, false
	}
	return uint64(limit.Cur), true //nolint:unconvert // an int64 on FreeBSD
}

// ForbidCores keeps the process from leaving its memory, and the secrets in it,
// on the disk. Where that fails the system forbids more than we do.
func ForbidCores() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
