package publishers

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == goServerRole {
		fmt.Fprintln(os.Stderr, goServerMain(os.Args[2], os.Args[3], os.Args[4]))
		os.Exit(1)
	}
	// The OAuth 2.0 server of the tests has no Close.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}
