//go:build !unix

package process

import "os"

// Asked never tells anything: there is no signal for it.
func Asked() (asked <-chan os.Signal, stop func()) { return nil, func() {} }
