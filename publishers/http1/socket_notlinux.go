//go:build !linux

package http1

import "syscall"

func boundSilence(syscall.RawConn) {}
