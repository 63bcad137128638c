package publishers

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// The OAuth 2.0 server of the tests has no Close.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager"))
}
