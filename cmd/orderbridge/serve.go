package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/api"
	"orderbridge/internal/audit"
	"orderbridge/internal/console"
	"orderbridge/internal/egress"
	"orderbridge/internal/embedded"
	"orderbridge/internal/health"
	"orderbridge/internal/limits"
	"orderbridge/internal/process"
	"orderbridge/internal/secrets"
	"orderbridge/internal/telemetry"
)

func newServe() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the bridge (what orderbridge does without a command)",
		Long: `Run the bridge until SIGINT or SIGTERM. Then nothing new is taken, running
attempts may finish within ORDERBRIDGE_SHUTDOWN_TIMEOUT, what is still owed is
written down, and the exit code is 0. A second signal ends it at once.`,
		Example: `  orderbridge serve
  ORDERBRIDGE_NATS_URL=tls://nats.example.com ORDERBRIDGE_NATS_CREDS=bridge.creds orderbridge serve
  ORDERBRIDGE_DEV=true orderbridge serve             receivers on this machine, without a public certificate`,
		Args: noArgs,
		RunE: runServe,
	}
}

func runServe(cmd *cobra.Command, _ []string) error {
	cfg, log, err := settings(cmd)
	if err != nil {
		return err
	}
	defer process.Heap(limits.HeapFloor, limits.HeapRoom)()
	process.WarnOfFewFiles(log)
	return serve(cmd.Context(), cfg, log)
}

// serve runs the program until ctx ends; then it hands over and returns nil.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if cfg.NATS.URL.Reveal() == "" {
		defer embedded.BoundMemory()()
	}
	a := &app{cfg: cfg, log: log}
	return a.run(ctx, func() {})
}

// holder names this replica. The lock on the data directory proves that an
// embedded server's former bridge is gone.
func (a *app) holder() (name string, successor bool) {
	if a.server != nil {
		return "embedded", true
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6]), false
}

// readiness is the body of /readyz.
func (a *app) readiness() health.Readiness {
	b := a.bridge.Load()
	if b == nil {
		return health.Readiness{Role: health.RoleStandby, Reasons: append(slices.Clone(*a.waits.Load()), a.busReasons()...)}
	}
	c := b.Condition()
	r := health.Readiness{Role: string(c.Role), Reasons: slices.Clone(c.Reasons), Shards: shardsLed(c)}
	r.Reasons = append(r.Reasons, a.busReasons()...)
	reasons, warnings := a.upkeep.Load().Condition()
	r.Reasons = append(r.Reasons, reasons...)
	if problem := a.webhook.LocalProblem(); problem != "" {
		r.Reasons = append(r.Reasons, problem)
	}
	r.Ready = len(r.Reasons) == 0
	r.Reasons = append(r.Reasons, c.Notes...)
	r.Reasons = append(r.Reasons, warnings...) // it works in spite of them
	if a.attempts != nil && a.attempts.Trouble() != "" {
		r.Reasons = append(r.Reasons, a.attempts.Trouble()) // deliveries go on
	}
	if a.file != nil && a.file.Problem() != "" {
		r.Reasons = append(r.Reasons, a.file.Problem()) // its last good version is in force
	}
	return r
}

// shardsLed says which of several shards the replica leads.
func shardsLed(c bridge.Condition) *health.Shards {
	if c.Shards < 2 {
		return nil
	}
	s := &health.Shards{Of: c.Shards, Leads: []int{}}
	for _, x := range c.Leads {
		if x.Role == bridge.RoleLeader {
			s.Leads = append(s.Leads, x.Shard)
		}
	}
	return s
}

// busReasons are what keeps the bridge from its bus.
func (a *app) busReasons() []string {
	var reasons []string
	if s := a.inside.Load(); s != nil && s.Problem() != "" {
		reasons = append(reasons, s.Problem())
	}
	if problem := a.link.Problem(); problem != "" {
		reasons = append(reasons, "the bus is not connected: "+problem)
	}
	for _, problem := range []string{a.link.Violation(), a.fitness.Problem()} {
		if problem != "" {
			reasons = append(reasons, problem)
		}
	}
	return reasons
}

// serveAPI answers for the console, and for the management API once there is one.
func (a *app) serveAPI(w http.ResponseWriter, r *http.Request) {
	if console.Has(r.URL.Path) {
		console.ServeHTTP(w, r)
		return
	}
	if m := a.api.Load(); m != nil {
		m.ServeHTTP(w, r)
		return
	}
	api.Starting(w, r)
}

// insider is true for a caller who may know why the program is not ready.
func (a *app) insider(r *http.Request) bool {
	m := a.api.Load()
	return m != nil && m.Operator(r)
}

// warnOfSettings tells of secrets of the environment that may go nowhere, and
// what an allowed network opens, or does not open though it holds it.
func warnOfSettings(cfg *config.Config, s *secrets.Store, log *slog.Logger) {
	const most = 10
	remarks := s.Unbound(os.Environ())
	for _, r := range remarks[:min(len(remarks), most)] {
		log.Warn("secret: " + r)
	}
	if more := len(remarks) - most; more > 0 {
		log.Warn("secret: there are more that go nowhere", "count", more)
	}
	for _, prefix := range cfg.EgressAllow {
		if remark := egress.Wide(prefix); remark != "" {
			log.Warn(egress.Setting+": "+prefix.String()+" "+remark, "network", prefix.String())
		}
	}
}

// tellEmbedded says in one line where the embedded server is, and for whom it is open.
func tellEmbedded(cfg *config.Config, log *slog.Logger, s *embedded.Server) {
	switch {
	case cfg.NATS.Listen == "":
	case cfg.EmbeddedAuth == config.AuthCredentials:
		log.Info("embedded NATS server", "url", s.URL(), "data", cfg.DataDir,
			"auth", "credentials: `orderbridge nats context` makes a context for the program nats")
	default:
		log.Info("embedded NATS server", "url", s.URL(), "data", cfg.DataDir,
			"auth", "open: every user of this machine may read and change everything in it; ORDERBRIDGE_EMBEDDED_AUTH=credentials closes it")
	}
}

// tellStart tells the audit with what this program has started: of the tokens
// only by a short digest whether one is another than at the start before.
func (a *app) tellStart() {
	details := map[string]string{"version": telemetry.Version().Version}
	for _, v := range config.Table() {
		if v.Set {
			details[v.Name] = v.Value
		}
	}
	if tokens, err := a.cfg.AllAPITokens(); err == nil {
		for _, t := range tokens {
			details["token "+t.Name] = strings.TrimSpace(a.auditKey.Digest(t.Secret.Reveal()) + " " + t.Tenant)
		}
	}
	holder, _ := a.holder()
	a.audit.Note(audit.Note{Kind: "bridge", Action: "started",
		Who:  audit.Who{Via: "bridge", Name: holder, Vouched: "bridge"},
		Text: "started: version " + details["version"] + ", " + count(len(details)-1, "setting"), Details: details})
}

// sayWhatIsNext tells whoever has started the program that nothing is
// subscribed yet, and what to type.
func (a *app) sayWhatIsNext(ctx context.Context) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		c := a.bridge.Load().Condition()
		if c.Role == bridge.RoleLeader {
			if c.Figures.Subscriptions == 0 && len(c.Leads) == c.Shards {
				a.log.Info("nothing is subscribed yet, so nothing is delivered: `orderbridge subscriptions put --help` shows how, `orderbridge demo --keep` gives an example to play with",
					"bucket", a.names.Subscriptions)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// parse reads records under the operator's policy and warns of subjects that
// the stream does not carry, of schedules that last longer than it keeps events,
// of secrets and files that are not there, and of quotas.
func (a *app) parse(id string, data []byte) (*record.Subscription, record.Problems) {
	s, problems := record.Parse(id, data, a.policy)
	if s == nil {
		return nil, problems
	}
	if s.Alerts {
		problems = append(problems, s.CheckSubjects(a.names.Alerts, []string{a.names.AlertSubject + ".>"})...)
	} else {
		problems = append(problems, s.CheckSubjects(a.names.Stream, a.source.Config.Subjects)...)
		problems = append(problems, s.CheckMaxAge(a.names.Stream, a.source.Config.MaxAge)...)
	}
	problems = append(problems, a.webhook.Check(s)...)
	if a.file != nil && id == a.cfg.WebhookID && a.file.Problem() != "" { // the file as it is now is not in force
		problems = append(problems, record.Problem{Message: a.file.Problem(), Warning: true})
	}
	return s, append(problems, quota(a.cfg).Problem(s, a.index)...)
}

// parseNoted parses for the bridge, and remembers a record of which a secret is
// refused.
func (a *app) parseNoted(id string, data []byte) (*record.Subscription, record.Problems) {
	s, problems := a.parse(id, data)
	if s != nil {
		a.refused.Note(s, problems)
	}
	return s, slices.Clip(problems)
}
