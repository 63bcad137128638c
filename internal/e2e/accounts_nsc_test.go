package e2e

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// deploy/nats/nsc.sh prints what accounts.conf says, for a server in operator
// mode: no export that everybody may import, and each user with its subjects.
func TestCommandsOfNscAreTheAccounts(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "../../deploy/nats/nsc.sh").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	conf := readText(t, shippedAccounts)
	for what, want := range map[string]int{
		"nsc add account ":         strings.Count(conf, "\n    users: ["),
		"nsc add export ":          strings.Count(conf, "\n      { service: \"") + strings.Count(conf, "\n      { stream: \""),
		"nsc generate activation ": strings.Count(conf, "account: ORDERS"),
		"nsc add import ":          strings.Count(conf, "account: ORDERS"),
	} {
		got := 0
		for _, l := range lines {
			if strings.HasPrefix(l, what) {
				got++
			}
			if strings.HasPrefix(l, "nsc add export ") && !strings.Contains(l, " --private ") {
				t.Errorf("everybody may import this: %s", l)
			}
		}
		if got != want || want == 0 {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	opts, err := server.ProcessConfigFile(shippedAccounts)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range opts.Users {
		line := "nsc add user --account " + u.Account.Name + " --name " + u.Username + " --allow-pub '" + strings.Join(u.Permissions.Publish.Allow, ",") +
			"' --allow-sub '" + strings.Join(u.Permissions.Subscribe.Allow, ",") + "'"
		if u.Permissions.Response != nil {
			line += " --allow-pub-response=1 --response-ttl 1m"
		}
		if !slices.Contains(lines, line) {
			t.Errorf("%s is not in the output", line)
		}
	}
}
