package docs_test

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewriteRules = flag.Bool("rewrite-rules", false, "write the texts of the rules above their code again, from rules.md")

// Where each rule stands, from the root of the repository.
var ruleFiles = map[string]string{
	"R1": "subscribers/durable.go", "R2": "bridge/protocol/intake.go", "R3": "bridge/protocol/lease.go",
	"R4": "bridge/protocol/writer.go", "R5": "bridge/protocol/parking.go", "R6": "bridge/protocol/reading.go",
	"R7": "bridge/protocol/live.go", "R8": "bridge/protocol/writer.go", "R9": "bridge/protocol/takeover.go",
	"R10": "bridge/protocol/standby.go", "R10b": "bridge/protocol/handover.go", "R11": "bridge/event/ids.go",
	"R12": "bridge/protocol/revisions.go", "R13": "bridge/protocol/anchor.go", "R14": "bridge/protocol/burial.go",
	"R12 a pause": "bridge/protocol/pausing.go", "R14 skipping": "bridge/protocol/skip.go",
	"R15 naming": "bridge/protocol/identity.go", "R15 noticing": "bridge/protocol/look.go",
	"R15 leaving": "bridge/protocol/leaving.go", "R15 position in a changed stream": "bridge/protocol/place.go",
	"R15 moving": "bridge/protocol/moving.go", "R15 told": "bridge/protocol/streamchange.go",
	"R16 epochs": "bridge/protocol/terms.go", "R16 an absent lease is not a free one": "bridge/protocol/standby.go",
	"R16 a state bucket that is gone, new or purged deposes nobody": "bridge/protocol/bucket.go",
	"R16 records without status":                                    "bridge/protocol/history.go",
	"R17":                                                           "bridge/protocol/layout.go", "R18 deciding": "bridge/protocol/layout.go", "R18 finishing": "bridge/protocol/layout.go",
	"R18 closing": "bridge/protocol/closing.go", "R18 inheriting": "bridge/protocol/inherit.go",
	"R18 former shards": "bridge/protocol/formers.go",
}

var (
	ruleHead    = regexp.MustCompile(`(?m)^## (R\d+b?) (.*)\n`)
	afterImport = regexp.MustCompile(`(?ms)^package \w+\n+(?:import \(.*?\n\)\n|import "[^"]*"\n)?`)
)

// TestRulesStandAboveTheirCode wants the full text of each rule, as rules.md has
// it, at the head of the file that carries it out.
func TestRulesStandAboveTheirCode(t *testing.T) {
	text, err := os.ReadFile("rules.md")
	if err != nil {
		t.Fatal(err)
	}
	texts := ruleTexts(string(text))
	for _, rule := range slices.Sorted(maps.Keys(texts)) {
		file, want := ruleFiles[rule], texts[rule]
		if file == "" {
			t.Errorf("%s has no file", rule)
			continue
		}
		name := filepath.Join("..", file)
		code, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(code), want) {
			continue
		}
		if !*rewriteRules {
			t.Errorf("%s does not have the text of %s as rules.md has it: go test ./docs -rewrite-rules", file, rule)
			continue
		}
		if err := os.WriteFile(name, withRule(string(code), want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for rule := range ruleFiles {
		if texts[rule] == "" {
			t.Errorf("rules.md has no %s", rule)
		}
	}
}

// withRule puts the text of a rule in the place of its former one, else at the head of the code.
func withRule(code, text string) []byte {
	if former := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(text[:strings.Index(text, "\n")]) + `\n(?://.*\n)*`).FindStringIndex(code); former != nil {
		return []byte(code[:former[0]] + text + code[former[1]:])
	}
	at := afterImport.FindStringIndex(code)[1]
	return []byte(code[:at] + "\n" + text + "\n" + strings.TrimLeft(code[at:], "\n"))
}

var subRule = regexp.MustCompile(`^\*\*Rule: ([^*]+)\.\*\* ?`)

// ruleTexts are the comments that are wanted, by rule: what a section says of the
// rule, or of one part of it, and what was added; not the reasons.
func ruleTexts(document string) map[string]string {
	texts := map[string]string{}
	heads := ruleHead.FindAllStringSubmatchIndex(document, -1)
	for i, h := range heads {
		rule, title := document[h[2]:h[3]], document[h[4]:h[5]]
		end := strings.Index(document[h[1]:], "\n## ") + h[1]
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		key := ""
		for paragraph := range strings.SplitSeq(document[h[1]:end], "\n\n") {
			paragraph = strings.Trim(paragraph, "\n")
			part := subRule.FindStringSubmatch(paragraph)
			switch {
			case part != nil:
				key = rule + " " + part[1]
				texts[key] = "// # " + rule + ", " + part[1] + "\n"
				paragraph = strings.TrimPrefix(paragraph, part[0])
			case strings.HasPrefix(paragraph, "**Rule.**"):
				key = rule
				texts[key] = "// # " + rule + " " + title + "\n"
				paragraph = strings.TrimLeft(strings.TrimPrefix(paragraph, "**Rule.**"), " \n")
			case strings.HasPrefix(paragraph, "**Added"):
				key = rule
			case strings.HasPrefix(paragraph, "**Why"), strings.HasPrefix(paragraph, "**Prevents"), strings.HasPrefix(paragraph, "**What"),
				strings.HasPrefix(paragraph, "**Stories"), strings.HasPrefix(paragraph, "**Held by"):
				key = ""
			}
			if key != "" && paragraph != "" {
				texts[key] += "//\n" + commented(paragraph)
			}
		}
	}
	return texts
}

var listItem = regexp.MustCompile(`^(?:[-*]|\d+\.) `)

// commented is one paragraph, list or table as lines of a comment.
func commented(paragraph string) string {
	var b strings.Builder
	// What is indented goes on with its list item.
	lines := strings.Split(regexp.MustCompile(`\n +`).ReplaceAllString(paragraph, " "), "\n")
	for i, line := range lines {
		line = strings.NewReplacer("**", "", "`", "", "*", "").Replace(line)
		switch {
		case strings.HasPrefix(line, "|---"), i+1 < len(lines) && strings.HasPrefix(lines[i+1], "|---"): // the head of a table
			continue
		case strings.HasPrefix(line, "|"):
			cells := strings.Split(strings.Trim(line, "| "), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			b.WriteString(wrapped("//   - ", "//     ", strings.TrimRight(strings.Join(cells, ": "), ": ")))
		case listItem.MatchString(line):
			mark := listItem.FindString(line)
			b.WriteString(wrapped("//   "+mark, "//     ", line[len(mark):]))
		default:
			b.WriteString(strings.TrimRight("// "+strings.TrimRight(line, " "), " ") + "\n")
		}
	}
	return b.String()
}

// wrapped breaks a line at 100 columns.
func wrapped(first, next, text string) string {
	var b strings.Builder
	line := first
	for _, word := range strings.Fields(text) {
		if len(line)+len(word) > 100 && line != first && line != next {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line = next
		}
		line += word + " "
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
	return b.String()
}
