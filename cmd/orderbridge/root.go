package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "orderbridge",
		Short: "Deliver order change events from NATS JetStream to HTTPS endpoints",
		Long: `orderbridge takes order change events from NATS JetStream, matches them against
the subscription records in a NATS KV bucket and delivers each match to an HTTPS
endpoint. An event is acknowledged only when nothing of it is owed any more.

Without a command it serves. All settings are environment variables that begin
with ORDERBRIDGE_; ` + "`orderbridge config`" + ` shows them.

Exit codes: 0 good, 1 failed, 2 wrong usage (a flag, an argument or a variable),
3 there are differences (diff).`,
		Example: `  orderbridge demo                                   see it work, in seconds
  orderbridge                                        serve, with an embedded NATS server
  ORDERBRIDGE_NATS_URL=nats://nats:4222 orderbridge  serve, with your own
  orderbridge subscriptions put acme acme.json       subscribe an endpoint
  orderbridge publish order.json                     publish an event
  orderbridge order 4711                             what happened to an order
  orderbridge subscriptions list --state suspended   who cannot be reached`,
		Args:              noArgs,
		PersistentPreRunE: noEmptyFlags,
		RunE:              runServe,
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	root.PersistentFlags().String(contextFlag, "",
		"context of the program nats that says how to connect (ORDERBRIDGE_NATS_CONTEXT)")
	// The flag has just been made: there is nothing that could fail.
	_ = root.RegisterFlagCompletionFunc(contextFlag, completeContexts)
	root.Version = versionText()
	root.SetVersionTemplate("{{.Version}}")
	registerServer(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see `%s --help`", plainFlagError(err), cmd.CommandPath())
	})
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run:"}, &cobra.Group{ID: "use", Title: "Use:"},
		&cobra.Group{ID: "help", Title: "Help:"})
	root.SetHelpCommandGroupID("help")
	root.SetCompletionCommandGroupID("help")
	for group, commands := range map[string][]*cobra.Command{
		"run": {newServe(), newDemo(), newHealthcheck()},
		"use": {
			newPublish(),
			newSubscriptions(),
			newOrder(),
			newAttempts(),
			newExplain(),
			newDeadLetters(),
			newReplay(), newReplays(), newRewind(),
			newOwed(), newRetryNow(), newPause(true), newPause(false), newSkip(),
			newStream(),
			newStatus(),
			newShards(),
			newAudit(),
			newNats(),
			newSecrets(),
			newDebug(),
		},
		"help": {newConfig(), newVersion()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	suggest(root)
	completeAll(root)
	return root
}

// noEmptyFlags refuses a flag of the command that is given without a value, as by a
// variable of a script that is not set: --order "" would else mean all orders.
func noEmptyFlags(cmd *cobra.Command, _ []string) error {
	var empty []string
	own := cmd.LocalNonPersistentFlags()
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if own.Lookup(f.Name) != nil && f.Value.Type() == "string" && f.Value.String() == "" {
			empty = append(empty, "--"+f.Name)
		}
	})
	if len(empty) == 0 {
		return nil
	}
	return usagef("%s: is empty; give a value, or leave it out; see `%s --help`", strings.Join(empty, ", "), cmd.CommandPath())
}

// plainFlagError says what a wrong number is without the words of strconv.
func plainFlagError(err error) error {
	var wrong *pflag.InvalidValueError
	var number *strconv.NumError
	if errors.As(err, &wrong) && errors.As(err, &number) {
		return fmt.Errorf("--%s: %q is not a whole number", wrong.GetFlag().Name, wrong.GetValue())
	}
	return err
}

// otherVerbs are what other programs call our commands.
var otherVerbs = map[string][]string{
	"put": {"create", "add", "set", "new", "update"}, "apply": {"sync"}, "diff": {"compare", "plan"},
	"export": {"dump", "backup"}, "get": {"show", "describe", "cat", "view"},
	"delete":   {"remove", "del", "unsubscribe"},
	"activate": {"enable", "start"}, "deactivate": {"disable", "stop"}, "pause": {"suspend", "hold", "freeze"}, "resume": {"unpause", "unsuspend"},
	"retry-now": {"retry", "kick", "flush"}, "skip": {"drop", "discard"},
	"validate": {"check", "lint", "verify"},
	"redrive":  {"retry", "requeue", "resend"}, "replay": {"resend", "again"}, "rewind": {"reset", "seek", "rollback"}, "purge": {"delete", "remove", "rm", "clear"},
	"show":          {"get", "view", "cat", "describe"},
	"subscriptions": {"subscribe", "records", "webhooks", "webhook"}, "publish": {"pub", "send"}, "serve": {"start", "run"},
	"healthcheck": {"health", "ready"}, "status": {"leader", "replicas", "who"}, "shards": {"reshard", "partitions"}, "owed": {"debts", "ledger", "pending"}, "config": {"settings", "env"},
	"secrets": {"secret"}, "explain": {"why", "match", "simulate"}, "test": {"try", "probe", "ping"},
	"attempts": {"log", "deliveries", "history"}, "order": {"story", "trace"},
}

func suggest(cmd *cobra.Command) {
	cmd.SuggestFor = otherVerbs[cmd.Name()]
	for _, c := range cmd.Commands() {
		suggest(c)
	}
}

// newGroup is a command that only holds others.
func newGroup(use, short string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("%s needs a command; see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
		},
	}
	group.AddCommand(commands...)
	return group
}

// noArgs refuses arguments; where commands were possible it names the nearest.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case !cmd.HasSubCommands():
		return usagef("%s takes no argument, got %q", cmd.CommandPath(), args[0])
	}
	cmd.SuggestionsMinimumDistance = 2
	hint := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s has no command %q; %s", cmd.CommandPath(), args[0], hint)
}

// args checks how many arguments a command gets; want names them, as in "ID FILE".
func args(least, most int, want string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("%s wants %s; see `%s --help`", cmd.CommandPath(), want, cmd.CommandPath())
		}
		return nil
	}
}
