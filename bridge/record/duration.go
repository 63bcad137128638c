package record

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

// ParseDuration reads a duration of days, hours, minutes and seconds in its
// ISO-8601 form (PT30S, PT1M30S, P1DT12H, PT0.5S: a fraction only in the last
// part) or in Go's form (30s, 1m30s). It is never negative; years, months and
// weeks are refused, as is a number without a unit. The error holds the value.
func ParseDuration(s string) (time.Duration, error) {
	d, err := parseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("duration %s: %w; write it like PT30S or 30s", quote(s), err)
	}
	return d, nil
}

func parseDuration(s string) (time.Duration, error) {
	switch {
	case s == "":
		return 0, errors.New("is empty")
	case len(s) > 64:
		return 0, errors.New("is too long")
	case s[0] == '-' || strings.HasPrefix(s, "P-"):
		return 0, errors.New("must not be negative")
	case s[0] == 'P':
		return parseISODuration(s[1:])
	case strings.Trim(s, "0123456789.,") == "":
		return 0, errors.New("has no unit")
	case s[0] == '+':
		return 0, errors.New("must not have a sign")
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("is not a duration, or too long")
	}
	return d, nil
}

// isoUnits are the parts of a duration in the order in which they may come.
var isoUnits = []struct {
	letter byte
	time   bool // stands behind the T
	length time.Duration
}{
	{'D', false, 24 * time.Hour},
	{'H', true, time.Hour},
	{'M', true, time.Minute},
	{'S', true, time.Second},
}

// parseISODuration reads what follows the P.
func parseISODuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errors.New("has no parts")
	}
	var total time.Duration
	inTime, next := false, 0
	for s != "" {
		if s[0] == 'T' {
			if inTime || len(s) == 1 {
				return 0, errors.New("has nothing after its T")
			}
			inTime, s = true, s[1:]
			continue
		}
		n := 0
		for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' || s[n] == ',') {
			n++
		}
		if n == 0 {
			return 0, errors.New("lacks a number")
		}
		if n == len(s) {
			return 0, errors.New("has a number without a unit")
		}
		number, letter := s[:n], s[n]
		s = s[n+1:]
		if letter == 'Y' || letter == 'W' || letter == 'M' && !inTime {
			return 0, errors.New("holds years, months or weeks; use days (P7D)")
		}
		unit := next
		for unit < len(isoUnits) && isoUnits[unit].letter != letter {
			unit++
		}
		if unit == len(isoUnits) || isoUnits[unit].time != inTime {
			return 0, errors.New("has an unknown, repeated or misplaced unit")
		}
		next = unit + 1
		d, fraction, err := scaleDecimal(number, isoUnits[unit].length)
		if err != nil {
			return 0, err
		}
		if fraction && s != "" {
			return 0, errors.New("has a fraction before its last part")
		}
		if total > math.MaxInt64-d {
			return 0, errors.New("is too long")
		}
		total += d
	}
	return total, nil
}

// scaleDecimal multiplies a decimal number (with . or , as its mark, and at
// most nine decimals: exact to the nanosecond) by a unit.
func scaleDecimal(number string, unit time.Duration) (d time.Duration, fraction bool, err error) {
	whole, decimals := number, ""
	if i := strings.IndexAny(number, ".,"); i >= 0 {
		whole, decimals, fraction = number[:i], number[i+1:], true
	}
	if whole == "" || fraction && decimals == "" || strings.ContainsAny(decimals, ".,") {
		return 0, fraction, errors.New("has a malformed number")
	}
	if len(decimals) > 9 {
		return 0, fraction, errors.New("has more than nine decimals")
	}
	for _, c := range []byte(whole) {
		digit := time.Duration(c - '0')
		if d > (math.MaxInt64-digit)/10 {
			return 0, fraction, errors.New("is too long")
		}
		d = d*10 + digit
	}
	if d > math.MaxInt64/unit-1 {
		return 0, fraction, errors.New("is too long")
	}
	d *= unit
	for _, c := range []byte(decimals) {
		unit /= 10
		d += time.Duration(c-'0') * unit
	}
	return d, fraction, nil
}
