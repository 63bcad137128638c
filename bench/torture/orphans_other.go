//go:build !linux

package main

import "syscall"

// dieWithUs can do nothing here.
func dieWithUs() *syscall.SysProcAttr { return nil }
