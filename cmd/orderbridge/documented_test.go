package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommands wants every command that README and the documents show to exist, with its flags; in blocks
// of code with its arguments too.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	found := 0
	for _, name := range append(names, "../../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range documentedCommands(string(text)) {
			found++
			if err := known(c); err != nil {
				t.Errorf("%s: %s: %v", name, strings.Join(c.args, " "), err)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands were found", found)
	}
}

type documented struct {
	args  []string
	whole bool // in a block of code: nothing is left out
}

var (
	fences = regexp.MustCompile("(?ms)^```.*?^```$")
	spans  = regexp.MustCompile("`(orderbridge [^`]+)`")
	shown  = regexp.MustCompile(`^(?:\$ )?(?:\w+=\S+ )*(orderbridge(?: .*)?)$`)
	ends   = regexp.MustCompile(`\s+#\s.*| [|;<>] ?.*| \|\| .*| && .*|\s{3,}.*|; .*`)
	words  = regexp.MustCompile(`"[^"]*"|'[^']*'|[^\s"']+`)
)

// documentedCommands finds commands in a document: lines of blocks of code, and spans of code in the text.
func documentedCommands(text string) (list []documented) {
	for _, block := range fences.FindAllString(text, -1) {
		for line := range strings.Lines(block) {
			if m := shown.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
				list = append(list, documented{args: split(m[1]), whole: true})
			}
		}
	}
	for _, m := range spans.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		list = append(list, documented{args: split(strings.Join(strings.Fields(m[1]), " "))})
	}
	return list
}

func split(line string) (args []string) {
	for _, w := range words.FindAllString(ends.ReplaceAllString(line, ""), -1)[1:] {
		args = append(args, strings.Trim(w, `"'`))
	}
	return args
}

// known tells what is wrong with a command that is documented.
func known(c documented) error {
	root := newRoot()
	root.InitDefaultCompletionCmd(c.args...)
	cmd, rest, err := root.Find(c.args)
	if err != nil {
		return err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	given := cmd.Flags().Args()
	if !cmd.HasSubCommands() && !c.whole || strings.Contains(strings.Join(given, " "), "…") {
		return nil
	}
	return cmd.ValidateArgs(given)
}
