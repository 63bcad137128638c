package main

import "syscall"

// dieWithUs sees to it that a bridge does not outlive the harness.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
