package main

import (
	"context"

	"github.com/spf13/cobra"
)

// applyFlags are those that apply and diff share.
type applyFlags struct {
	choice recordChoice
	prune  bool
	most   int
	format output
}

func (f *applyFlags) register(cmd *cobra.Command) {
	f.format = "text"
	flags := cmd.Flags()
	flags.BoolVar(&f.prune, "prune", false, "delete stored records that the files do not hold: of --tenant, of --label, or --all")
	f.choice.register(cmd, "of --prune: only records")
	flags.BoolVar(&f.choice.all, "all", false, "of --prune: any record")
	flags.IntVar(&f.most, "prune-limit", 20, "of --prune: delete nothing if there were more to delete than this `number`")
	f.format.register(cmd, "text", "json", "yaml")
}

func (f *applyFlags) check() error {
	switch {
	case !f.prune && (f.choice.given() || f.choice.all):
		return usagef("--tenant, --label and --all say what --prune may delete; say --prune as well, or leave them out")
	case f.prune && f.choice.given() == f.choice.all:
		return usagef("--prune needs either --tenant or --label, which say whose records it may delete, or --all")
	case f.most < 1:
		return usagef("--prune-limit: %d is not a number of records", f.most)
	}
	return f.choice.check()
}

func newSubscriptionsApply() *cobra.Command {
	var flags applyFlags
	dryRun := false
	cmd := &cobra.Command{
		Use:   "apply DIR|FILE|-...",
		Short: "Store the records of files, as far as they differ",
		Long: `Make the stored records what the files say. A file is JSON or YAML and holds one
record, or several (documents, or a list). A record says its id by its member id;
one that is alone in its file may leave it out: then the file is named by it.
Directories are read with all that is below them.

All files are checked before anything is written; only records that differ are, and
only if nobody has changed them meanwhile: such a conflict is told, the others are
written all the same, and the exit code is 1. Where a file holds "[redacted]" for a
secret, as ` + "`export`" + ` writes it, the stored secret stays; where it leaves out the
status, the stored one does. Anything else that it leaves out is gone.

--prune deletes the stored records that the files do not hold, among those with a
tenant or label: all records of the files must then have it, too. It deletes nothing
if the files hold no record at all, or if something could not be written.`,
		Example: `  orderbridge subscriptions apply records/ --dry-run
  orderbridge subscriptions apply records/
  orderbridge subscriptions apply records/ --prune --label from=git
  orderbridge subscriptions export - --tenant acme | orderbridge --context staging subscriptions apply -`,
		Args: args(1, -1, "directories, files, or - for stdin"),
		RunE: flags.planning(func(ctx context.Context, cmd *cobra.Command, s *session, p *plan) error {
			if p.DryRun = dryRun; !dryRun {
				s.carryOut(ctx, p)
			}
			if err := p.print(cmd, flags.format); err != nil {
				return err
			}
			return p.failure(cmd)
		}),
	}
	flags.register(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// planning runs a command on what the files that it names differ in from what is stored.
func (f *applyFlags) planning(run func(context.Context, *cobra.Command, *session, *plan) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return asking(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			p, err := s.plan(ctx, cmd, args, *f)
			if err != nil {
				return err
			}
			return run(ctx, cmd, s, p)
		})(cmd, args)
	}
}

func newSubscriptionsDiff() *cobra.Command {
	var flags applyFlags
	cmd := &cobra.Command{
		Use:   "diff DIR|FILE|-...",
		Short: "Tell in what the records of files differ from those that are stored",
		Long: `Tell what ` + "`apply`" + ` would do, member by member; of secrets only that they differ.
Nothing is written.

Exit codes: 0 no difference, 1 failed, 2 wrong usage, 3 there are differences.`,
		Example: `  orderbridge subscriptions diff records/
  orderbridge subscriptions diff records/ --prune --tenant acme -o json`,
		Args: args(1, -1, "directories, files, or - for stdin"),
		RunE: flags.planning(func(_ context.Context, cmd *cobra.Command, _ *session, p *plan) error {
			p.DryRun = true
			if err := p.print(cmd, flags.format); err != nil {
				return err
			}
			if p.Summary.differences() > 0 {
				return errDifferent
			}
			return nil
		}),
	}
	flags.register(cmd)
	return cmd
}
