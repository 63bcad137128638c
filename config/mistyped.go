package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A name that is not a setting has no effect. Most are harmless, and a warning is
// enough: a newer build's setting must not stop an older one. But a mistyped
// name of those that say which bus and which data are meant makes a bridge that
// works, is healthy, and is alone with a bus of its own: it is not started.

// decisive tells the settings that say where the bridge's data is.
func decisive(name string) bool {
	name = strings.TrimPrefix(name, Prefix+"_")
	return strings.HasPrefix(name, "NATS_") || strings.HasPrefix(name, "JETSTREAM_") ||
		slices.Contains([]string{"DATA_DIR", "STREAM", "SUBJECTS", "SUBSCRIPTIONS_BUCKET", "PREFIX"}, name)
}

// nearMiss is how many edits may lie between a name and the one that is meant.
const nearMiss = 2

// unknown looks for variables that seem to be meant for us and are not settings:
// what is near to a decisive one is a problem, all else a warning.
func unknown(environ []string) (warnings []string, problems []error) {
	known := variables(new(Config))
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, Prefix+"_SECRET_") || fromKubernetes(name, value) ||
			slices.ContainsFunc(known, func(v variable) bool { return v.name == name }) {
			continue
		}
		if meant := mistyped(name, known); meant != "" {
			problems = append(problems,
				fmt.Errorf("%s is not a setting; %s is: rename it, or unset it, since without it another bus or other data would be used", name, meant))
			continue
		}
		if !strings.HasPrefix(name, Prefix+"_") {
			continue
		}
		nearest := slices.MinFunc(known, func(a, b variable) int {
			return cmp.Compare(unlikeness(name, a.name), unlikeness(name, b.name))
		})
		if strings.HasPrefix(name, Prefix+"_NATS_") {
			problems = append(problems,
				fmt.Errorf("%s is not a setting; the servers are set by %s_NATS_URL, and `orderbridge config` shows the other settings: use one of them, or unset it, since without it another bus could be used", name, Prefix))
			continue
		}
		warnings = append(warnings,
			fmt.Sprintf("%s is not a setting and has no effect; the nearest one is %s", name, nearest.name))
	}
	slices.Sort(warnings)
	slices.SortFunc(problems, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return warnings, problems
}

// mistyped is the decisive setting that a name is a near miss of, also where
// the prefix, the case or NATS_ went wrong; "" if there is none.
func mistyped(name string, known []variable) string {
	if len(name) > 64 {
		return ""
	}
	meant, edits := "", nearMiss+1
	for _, v := range known {
		if name == Prefix+"_"+strings.TrimPrefix(v.name, Prefix+"_NATS_") {
			return v.name
		}
		if d := distance(strings.ToUpper(name), v.name); d < edits {
			meant, edits = v.name, d
		}
	}
	if decisive(meant) {
		return meant
	}
	return ""
}

var service = regexp.MustCompile(`^` + Prefix +
	`(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// fromKubernetes tells the variables that Kubernetes gives to each container
// for a service named orderbridge or orderbridge-something.
func fromKubernetes(name, value string) bool {
	return service.MatchString(name) || name == Prefix+"_PORT" ||
		strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// unlikeness counts edits; what begins alike is alike.
func unlikeness(a, b string) int {
	alike := 0
	for alike < min(len(a), len(b)) && a[alike] == b[alike] {
		alike++
	}
	return distance(a, b) - alike
}

// distance counts the edits that lead from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
