package config

import (
	"fmt"
	"strings"
	"testing"
)

// Every setting that is a path, with each kind of secret in its place: refused,
// and shown neither by the error nor by the table.
func TestSecretsInPlaceOfPaths(t *testing.T) {
	var paths []variable
	for _, v := range variables(new(Config)) {
		if v.isPath() {
			paths = append(paths, v)
		} else if strings.HasSuffix(v.name, "_FILE") || strings.HasSuffix(v.name, "_DIR") || strings.HasSuffix(v.name, "_CA") || strings.HasSuffix(v.name, "_CERT") {
			t.Errorf("%s is a path, and its field does not say so", v.name)
		}
	}
	if len(paths) < 12 {
		t.Fatalf("only %d paths", len(paths))
	}
	for kind, secret := range map[string]string{
		"age":      "AGE-SECRET-KEY-1QQPLANTEDQQPLANTEDQQPLANTEDQQPLANTEDQQPLANTEDQQPLANTED",
		"age file": "# created: 2026\nAGE-SECRET-KEY-1PLANTED",
		"pem":      "-----BEGIN PRIVATE KEY-----\nPLANTED\n-----END PRIVATE KEY-----",
		"pem line": "-----BEGIN CERTIFICATE-----PLANTED",
		"seed":     "SUAPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTEDPLANTE",
		"jwt":      "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.PLANTED",
		"json":     `{"webHook":{"secret":"PLANTED"}}`,
		"url":      "https://user:PLANTED@example.com/key",
		"token":    "ops:PLANTED-0123456789abcdef",
		"whsec":    "whsec_PLANTED",
	} {
		for _, v := range paths {
			t.Run(fmt.Sprint(v.name, "/", kind), func(t *testing.T) {
				t.Setenv(v.name, secret)
				refusedUnseen(t, v)
			})
		}
	}
	for kind, secret := range map[string]string{"hex": "0123456789abcdefPLANTED0123456789", "base64": "PLANTED/aGVsbG8gd29ybGQgaGVsbG8gd29ybGQ1234=="} {
		for _, v := range paths {
			if v.field.Tag.Get("redact") == "file" {
				t.Run(fmt.Sprint(v.name, "/", kind), func(t *testing.T) {
					t.Setenv(v.name, secret)
					refusedUnseen(t, v)
				})
			}
		}
	}
	for _, good := range []string{"/etc/orderbridge/sealing.key", "keys/prod-2026-01.pem", `C:\keys\a.pem`, "sealing.key", "/tmp/TestStartsWithoutItsFilesAndSaysSo123/none.json", "/run/secrets/bridge.creds"} {
		if (variable{field: paths[1].field}).looksSecret(good) {
			t.Errorf("%s is a path", good)
		}
	}
}

func refusedUnseen(t *testing.T, v variable) {
	t.Helper()
	_, warnings, err := Load()
	if err == nil || !strings.Contains(err.Error(), v.name) || !strings.Contains(err.Error(), "looks like a secret") {
		t.Errorf("not refused: %v", err)
	}
	shown := fmt.Sprint(err, warnings)
	for _, row := range Table() {
		shown += row.Value
	}
	if strings.Contains(shown, "PLANTED") {
		t.Errorf("shown: %s", shown)
	}
}
