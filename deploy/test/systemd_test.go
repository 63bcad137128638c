package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exposure is what `systemd-analyze security` gives the unit at most, times ten.
const exposure = "15"

func TestUnit(t *testing.T) {
	if !strings.Contains(readFile(t, "../systemd/orderbridge.service"), "\nLimitCORE=0\n") {
		t.Error("the unit allows core dumps")
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("there is no systemd-analyze")
	}
	unit := filepath.Join(t.TempDir(), "orderbridge.service")
	// verify looks for the program.
	text := strings.Replace(readFile(t, "../systemd/orderbridge.service"), "/usr/local/bin/orderbridge", "/bin/true", 1)
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v\n%s", err, out)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold="+exposure, unit).CombinedOutput(); err != nil {
		t.Errorf("security: %v\n%s", err, out)
	}
}
