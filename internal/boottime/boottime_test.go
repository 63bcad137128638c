package boottime

import "testing"

func TestBootGoesOn(t *testing.T) {
	t.Parallel()
	a := Clock{}.Boot()
	for range 1000 {
		b := Clock{}.Boot()
		if b < a {
			t.Fatalf("boot time went back from %v to %v", a, b)
		}
		a = b
	}
}
