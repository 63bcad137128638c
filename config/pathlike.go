package config

import (
	"os"
	"regexp"
	"strings"
)

// A setting that is the path of a file is easily given what belongs into the
// file. Then it is refused, and shown nowhere.

// isPath tells the settings that are paths: redact:"file" are those of files that
// must be there, redact:"path" may also be names, or of what is made.
func (v variable) isPath() bool {
	return v.field.Tag.Get("redact") == "path" || v.field.Tag.Get("redact") == "file"
}

// marks of secrets that no path of a file that is there has.
var marks = regexp.MustCompile(strings.Join([]string{
	`-----BEGIN`,
	`(?i:AGE-SECRET-KEY-|AGE-PLUGIN-)`,
	`\bS[UAOCNX][A-Z2-7]{40,}`, // seed of an nkey
	`\beyJ[A-Za-z0-9_-]{8,}`,
	`whsec_`, `\b(sk|pk|rk)_(live|test)_`, `\bgh[a-z]_[A-Za-z0-9]{16,}`, `\bxox[a-z]-`, `\bAKIA[A-Z0-9]{12,}`,
	`^(?i:bearer|basic) `,
	`[\r\n]`, `^\s*[{\[]`,
	`://[^/]*@`,
	`^[A-Za-z0-9_-]{1,64}:[^:/\\]{16,}(:|$)`, // a token of the API
}, "|"))

// opaque is a key or token without a mark: letters and digits without the dots
// and slashes of a path, or base64.
var opaque = regexp.MustCompile(`^([A-Za-z0-9_+=-]{20,}|[A-Za-z0-9+/]{24,}={1,2})$`)

// looksSecret tells a secret that was given where the path of its file was
// meant. What is there as a file is a path.
func (v variable) looksSecret(text string) bool {
	kind := v.field.Tag.Get("redact")
	if !marks.MatchString(text) &&
		!(kind == "file" && opaque.MatchString(text) && strings.ContainsAny(text, "0123456789")) {
		return false
	}
	_, err := os.Stat(text)
	return err != nil
}

// pathsAreNoSecrets refuses secrets in place of paths.
func (k *checker) pathsAreNoSecrets() {
	for name, v := range k.vars {
		if v.isPath() && v.looksSecret(v.target.String()) {
			k.wrong(strings.TrimPrefix(name, Prefix+"_"), "names nothing that is there, and looks like a secret itself",
				"if it is one, write it into a file that only this program may read, and give the path of that file")
		}
	}
}
