package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	_ "golang.org/x/crypto/x509roots/fallback" // the roots of Mozilla, for machines and images that have none of their own

	"orderbridge/internal/limits"
	"orderbridge/internal/process"
	"orderbridge/internal/safetext"
)

// Exit codes.
const (
	exitGood      = 0
	exitFailed    = 1
	exitUsage     = 2 // a flag, an argument or a variable is wrong: nothing was tried
	exitDifferent = 3 // diff: there are differences
)

func main() { os.Exit(run()) }

// run ends at the first SIGINT or SIGTERM in an orderly way; a second one kills.
func run() int {
	// net/http tells there what an endpoint does to it, once for each frame of
	// HTTP/2: that is not a line of our log.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	process.ForbidCores()
	ctx := untilSignal()
	cmd := newRoot()
	safeOutput(cmd)
	if called, _, err := cmd.Find(os.Args[1:]); err == nil && !stopsInTime(called) {
		context.AfterFunc(ctx, func() { time.AfterFunc(limits.CommandEndTime, interrupted) })
	}
	if err := cmd.ExecuteContext(ctx); err != nil {
		return report(err)
	}
	return exitGood
}

// untilSignal is a context that ends with the first SIGINT or SIGTERM. The second
// one does what it does to a program that does not listen to it.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		signal.Reset()
		if self, err := os.FindProcess(os.Getpid()); err != nil || self.Signal(second) != nil {
			os.Exit(exitFailed)
		}
	}()
	return ctx
}

// stopsInTime tells whether a command bounds by itself how long a stop takes: those
// that run the bridge do.
func stopsInTime(cmd *cobra.Command) bool {
	return !cmd.HasParent() || cmd.Name() == "serve" || cmd.Name() == "demo"
}

// interrupted ends a command that is held up where no context reaches: in opening a
// file that is a pipe, or reading what nobody types.
func interrupted() {
	fmt.Fprintln(os.Stderr, "orderbridge: interrupted")
	os.Exit(exitFailed)
}

// report prints what went wrong and tells the exit code.
func report(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "orderbridge: %s\n", safetext.Lines(err.Error()))
		return exitUsage
	}
	if errors.Is(err, errDifferent) {
		return exitDifferent // the command has shown them
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "orderbridge: %s\n", safetext.Lines(err.Error()))
	}
	return exitFailed
}

// errReported ends a command that has reported its failure already.
var errReported = errors.New("failed")

// errDifferent ends a command that has found differences.
var errDifferent = errors.New("there are differences")

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}
