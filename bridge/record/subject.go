package record

import "strings"

// SubjectMatches reports whether a NATS subject filter (`*` stands for one
// token, a `>` at the end for one or more) matches the subject of a message.
func SubjectMatches(filter, subject string) bool {
	for {
		f, filterRest, filterMore := strings.Cut(filter, ".")
		if f == ">" && !filterMore {
			return true
		}
		s, subjectRest, subjectMore := strings.Cut(subject, ".")
		if f != "*" && f != s {
			return false
		}
		if !filterMore || !subjectMore {
			return filterMore == subjectMore
		}
		filter, subject = filterRest, subjectRest
	}
}

// subjectSubsumes reports whether each subject that filter b matches is
// matched by filter a as well.
func subjectSubsumes(a, b string) bool {
	for {
		ta, restA, moreA := strings.Cut(a, ".")
		if ta == ">" && !moreA {
			return true
		}
		tb, restB, moreB := strings.Cut(b, ".")
		if tb == ">" && !moreB || ta != "*" && ta != tb {
			return false
		}
		if !moreA || !moreB {
			return moreA == moreB
		}
		a, b = restA, restB
	}
}

// subjectsOverlap reports whether some subject is matched by both filters.
func subjectsOverlap(a, b string) bool {
	for {
		ta, restA, moreA := strings.Cut(a, ".")
		tb, restB, moreB := strings.Cut(b, ".")
		if ta == ">" && !moreA || tb == ">" && !moreB {
			return true
		}
		if ta != "*" && tb != "*" && ta != tb {
			return false
		}
		if !moreA || !moreB {
			return moreA == moreB
		}
		a, b = restA, restB
	}
}

// typeMatches reports whether an event type is matched by a pattern in which
// each `*` stands for any text, the empty one included. Each text between two
// of them is looked for once, from where the one before it ended: that is
// enough, and what it costs grows with both lengths only.
func typeMatches(pattern, typ string) bool {
	first := strings.IndexByte(pattern, '*')
	if first < 0 {
		return pattern == typ
	}
	last := strings.LastIndexByte(pattern, '*')
	prefix, suffix := pattern[:first], pattern[last+1:]
	if len(typ) < len(prefix)+len(suffix) || !strings.HasPrefix(typ, prefix) || !strings.HasSuffix(typ, suffix) {
		return false
	}
	if first == last {
		return true
	}
	typ = typ[len(prefix) : len(typ)-len(suffix)]
	for part := range strings.SplitSeq(pattern[first+1:last], "*") {
		at := strings.Index(typ, part)
		if at < 0 {
			return false
		}
		typ = typ[at+len(part):]
	}
	return true
}

// withoutSubsumed returns the filters in their order, without those that
// another one covers; nil when one of them, all, covers everything.
func withoutSubsumed(filters []string, all string, subsumes func(a, b string) bool) []string {
	var kept []string
	for i, f := range filters {
		if f == all {
			return nil
		}
		covered := false
		for j, other := range filters {
			// Of two that cover each other (equal ones) the first stays.
			if i != j && subsumes(other, f) && (j < i || !subsumes(f, other)) {
				covered = true
				break
			}
		}
		if !covered {
			kept = append(kept, f)
		}
	}
	return kept
}
