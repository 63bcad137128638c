package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"orderbridge/internal/lab"
)

// childRole begins the arguments of this program when it is started as one of
// the roles: role, then its settings in JSON.
const childRole = "bench-child"

// roles are what this program does when it starts itself: it answers with one
// line of JSON once it is ready, and works until its standard input is closed.
var roles = map[string]func(ctx context.Context, settings []byte, ready func(any) error) error{
	"nats":  role(runNATS),
	"sink":  role(runSink),
	"raw":   role(runRaw),
	"naive": role(runNaive),
	"scale": role(runScale),

	"readers": role(runReaders),
	"writer":  role(runWriter),
}

func role[S any](run func(ctx context.Context, s S, ready func(any) error) error) func(context.Context, []byte,
	func(any) error) error {
	return func(ctx context.Context, settings []byte, ready func(any) error) error {
		var s S
		if err := json.Unmarshal(settings, &s); err != nil {
			return fmt.Errorf("read settings: %w", err)
		}
		return run(ctx, s, ready)
	}
}

// childMain is the main function of a role.
func childMain(name, settings string) error {
	run := roles[name]
	if run == nil {
		return fmt.Errorf("no role %q", name)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return run(ctx, []byte(settings), json.NewEncoder(os.Stdout).Encode)
}

// startRole starts a role and reads its answer. The role ends when it is stopped.
func startRole(name string, settings, answer any) (*lab.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startOther(name, self, []string{childRole, name}, settings, answer)
}

// startOther starts a program that takes settings and answers as a role does.
func startOther(name, path string, args []string, settings, answer any) (*lab.Process, error) {
	s, err := json.Marshal(settings)
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe() // os/exec would close its own pipe when the process ends
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p, err := lab.Start(lab.Command{Name: name, Path: path, Args: append(args, string(s)), Stdout: in, Stdin: true})
	in.Close()
	if err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s did not become ready: %w", name, err), p.Stop(stopTimeout))
	}
	return p, nil
}

const stopTimeout = 30 * time.Second
