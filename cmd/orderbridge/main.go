package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // the roots of Mozilla, for machines and images that have none of their own

	"orderbridge/internal/process"
	"orderbridge/internal/safetext"
)

// Exit codes.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2 // a flag, an argument or a variable is wrong: nothing was tried
)

func main() { os.Exit(run()) }

// run ends at the first SIGINT or SIGTERM in an orderly way; a second one kills.
func run() int {
	// net/http tells there what an endpoint does to it, once for each frame of
	// HTTP/2: that is not a line of our log.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	process.ForbidCores()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	cmd := newRoot()
	safeOutput(cmd)
	if err := cmd.ExecuteContext(ctx); err != nil {
		return report(err)
	}
	return exitGood
}

// report prints what went wrong and tells the exit code.
func report(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(os.Stderr, "orderbridge: %s\n", safetext.Lines(err.Error()))
		return exitUsage
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintf(os.Stderr, "orderbridge: %s\n", safetext.Lines(err.Error()))
	}
	return exitFailed
}

// errReported ends a command that has reported its failure already.
var errReported = errors.New("failed")

// usageError is a mistake in how the program was called.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}
