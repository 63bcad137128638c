package record

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Duration{
		"PT60S": time.Minute, "PT1M": time.Minute, "PT0.5S": 500 * time.Millisecond, "PT1M30S": 90 * time.Second, // B6
		"PT30S": 30 * time.Second, "P1D": 24 * time.Hour, "P1DT12H": 36 * time.Hour, "PT1H30M": 90 * time.Minute,
		"PT1H1M1.001S": time.Hour + time.Minute + time.Second + time.Millisecond, "PT1,5M": 90 * time.Second,
		"P0.5D": 12 * time.Hour, "PT0S": 0, "PT0.000000001S": 1, "PT36H": 36 * time.Hour, "P7D": 7 * 24 * time.Hour,
		"30s": 30 * time.Second, "1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond, "1.5h": 90 * time.Minute, "0s": 0,
		"P106750D": 106750 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"60": "no unit", "0": "no unit", "1.5": "no unit", "P": "no parts", "": "empty", "PT": "nothing after its T", "P1DT": "nothing after its T", // B6
		"-30s": "negative", "-PT30S": "negative", "P-1D": "negative", "PT-30S": "lacks a number", "+30s": "sign",
		"P1Y": "years", "P2W": "weeks", "P1M": "months", "PT1S1M": "misplaced", "PT1M1M": "repeated", "P1H": "misplaced", "PT1D": "misplaced",
		"PT1.5M3S": "fraction", "PT.5S": "malformed", "PT5.S": "malformed", "PT1.2.3S": "malformed", "PT0.1234567891S": "nine decimals",
		"PT5": "without a unit", "PTS": "lacks a number", "pt5s": "not a duration", "PT5s": "unknown", "5 s": "not a duration",
		"P106752D": "too long", "PT99999999999999999999S": "too long", "9999999h": "not a duration", "PT1HT1M": "nothing after its T",
		"PT" + strings.Repeat("0", 80) + "S": "too long", "soon": "not a duration",
	} {
		_, err := ParseDuration(in)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "PT30S") {
			t.Errorf("ParseDuration(%q): error %v, want one with %q and the remedy", in, err, want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"PT30S", "P1DT2H3M4.5S", "1h2m3.5s", "60", "P", "-1s", "PT0,25H", "1µs"} {
		f.Add(s)
	}
	// The form as the schema has it: what is read must have it, and what has it
	// is read unless it is too long.
	form := regexp.MustCompile(schemaPattern(f, "duration"))
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			if form.MatchString(s) && !strings.Contains(err.Error(), "too long") {
				t.Errorf("ParseDuration(%q) = %v, but it has the form of a duration", s, err)
			}
			return
		}
		if d < 0 {
			t.Errorf("ParseDuration(%q) = %v", s, d)
		}
		if !form.MatchString(s) {
			t.Errorf("ParseDuration(%q) = %v, but the schema refuses it", s, d)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", d.String(), again, err, d)
		}
	})
}
