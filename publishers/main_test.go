package publishers

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/tidwall/buntdb.(*DB).backgroundManager")) // of the OAuth 2.0 server, which has no Close }
