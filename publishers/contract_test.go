package publishers

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"orderbridge/bridge/record"
)

// The programs around the examples of docs/webhook-contract.md: each reads a
// request, must accept it, and must refuse it with another body, secret or id.
var exampleHarness = map[string]struct{ file, before, after string }{
	"go": {"main.go", `package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

`, `
func main() {
	var in struct{ Body, Secret, Signing, Wrong string; Headers map[string]string }
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil { panic(err) }
	h := http.Header{}
	for k, v := range in.Headers { h.Set(k, v) }
	body, other := []byte(in.Body), []byte(in.Body+" ")
	if err := Verify(body, h, in.Signing); err != nil { panic(err) }
	if !VerifyX(body, h, in.Secret) || VerifyX(other, h, in.Secret) || VerifyX(body, h, "x") { panic("X-Signature") }
	if Verify(other, h, in.Signing) == nil || Verify(body, h, in.Wrong) == nil { panic("accepted") }
	h.Set("Webhook-Timestamp", "1")
	if Verify(body, h, in.Signing) == nil { panic("old") }
	fmt.Println("verified")
}
`},
	"js": {"main.mjs", "", `
import { readFileSync } from "node:fs";
const { body, secret, signing, wrong, headers } = JSON.parse(readFileSync(0, "utf8"));
const b = Buffer.from(body), other = Buffer.from(body + " ");
if (!verify(b, headers, signing) || !verifyX(b, headers, secret)) throw new Error("refused");
if (verify(other, headers, signing) || verify(b, headers, wrong) || verifyX(other, headers, secret) || verifyX(b, headers, "x")) throw new Error("accepted");
if (verify(b, { ...headers, "webhook-timestamp": "1" }, signing) || verify(b, { ...headers, "webhook-timestamp": "x" }, signing)) throw new Error("old");
console.log("verified");
`},
	"python": {"main.py", "", `
import json, sys
r = json.load(sys.stdin)
body, headers, secret, signing = r["body"].encode(), r["headers"], r["secret"], r["signing"]
assert verify(body, headers, signing) and verify_x(body, headers, secret)
assert not (verify(body + b" ", headers, signing) or verify(body, headers, r["wrong"]) or verify_x(body + b" ", headers, secret) or verify_x(body, headers, "x"))
assert not verify(body, {**headers, "webhook-timestamp": "1"}, signing)
print("verified")
`},
}

// TestExamplesOfTheContract runs the examples of docs/webhook-contract.md
// against requests as they arrive.
func TestExamplesOfTheContract(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "webhook-contract.md"))
	ok(t, err)
	requests, bodies := signed(t)
	for language, h := range exampleHarness {
		t.Run(language, func(t *testing.T) {
			t.Parallel()
			example := regexp.MustCompile("(?s)\n```" + language + "\n(.*?)\n```\n").FindSubmatch(text)
			if example == nil {
				t.Fatal("there is no example")
			}
			file := filepath.Join(t.TempDir(), h.file)
			ok(t, os.WriteFile(file, []byte(h.before+string(example[1])+"\n"+h.after), 0o600))
			program := []string{lookPath(t, map[string]string{"go": "go", "js": "node", "python": "python3"}[language]), file}
			if language == "go" {
				binary := strings.TrimSuffix(file, ".go")
				out, err := exec.Command(program[0], "build", "-o", binary, file).CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				program = []string{binary}
			}
			for i, r := range requests {
				headers := map[string]string{}
				for name := range r.Header {
					headers[strings.ToLower(name)] = r.Header.Get(name)
				}
				for _, secret := range signingSecrets {
					input, err := json.Marshal(map[string]any{"body": bodies[i], "headers": headers, "secret": "HeaderSecret",
						"signing": secret.Reveal(), "wrong": record.Secret("whsec_" + strings.Repeat("QUFB", 8)).Reveal()})
					ok(t, err)
					runVerifier(t, input, program[0], program[1:]...)
				}
			}
		})
	}
}
