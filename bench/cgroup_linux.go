package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"orderbridge/internal/lab"
)

// groupPeriod is the time in which a group may use its share, in microseconds.
const groupPeriod = 100_000

// newGroup makes a control group that is held to a share of one core: by cgroup
// v1 (cpu.cfs_quota_us) or v2 (cpu.max), whichever this machine lets us write. It
// gets that share whatever else the machine does.
func newGroup(name string, share float64) (dir string, err error) {
	quota := strconv.Itoa(int(share * groupPeriod))
	v1 := func(root string) (string, error) {
		return makeGroup(filepath.Join(root, name), [][2]string{
			{"cpu.cfs_period_us", strconv.Itoa(groupPeriod)}, {"cpu.cfs_quota_us", quota}, {"cpu.shares", "65536"}})
	}
	v2 := func(root string) (string, error) {
		if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpu"), 0); err != nil {
			return "", err
		}
		return makeGroup(filepath.Join(root, name), [][2]string{{"cpu.max", fmt.Sprint(quota, " ", groupPeriod)},
			{"cpu.weight", "10000"}})
	}
	var errs []error
	for _, way := range []struct {
		root, mark string // the mark is a file that the root of this kind has
		make       func(string) (string, error)
	}{
		{"/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", v1},
		{"/sys/fs/cgroup/cpu,cpuacct", "cpu.cfs_quota_us", v1},
		{"/sys/fs/cgroup", "cgroup.controllers", v2},
	} {
		if _, err := os.Stat(filepath.Join(way.root, way.mark)); err != nil {
			errs = append(errs, err)
			continue
		}
		if dir, err = way.make(way.root); err == nil {
			return dir, nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no control group can be made: %w", errors.Join(errs...))
}

// makeGroup makes a group and writes its settings.
func makeGroup(dir string, settings [][2]string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, s := range settings {
		if err := os.WriteFile(filepath.Join(dir, s[0]), []byte(s[1]), 0); err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
	}
	return dir, nil
}

// inGroup is the command, started inside the group: a shell enters it and
// becomes the program.
func inGroup(c lab.Command, dir string) lab.Command {
	c.Args = append([]string{"-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(dir, "cgroup.procs"), c.Path}, c.Args...)
	c.Path = "/bin/sh"
	return c
}

// removeGroup removes a group whose processes have ended.
func removeGroup(dir string) error { return os.Remove(dir) }
