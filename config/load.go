package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/kelseyhightower/envconfig"

	"orderbridge/bridge/record"
)

// Load reads and checks the environment. The error joins everything that is
// wrong, one line each, and every line names the variable, its value unless
// that is a secret, and the remedy. Warnings are for the log. The Config is
// meant for use only when err is nil.
func Load() (cfg *Config, warnings []string, err error) {
	cfg = new(Config)
	var problems []error
	for _, v := range variables(cfg) {
		if err := v.read(); err != nil {
			problems = append(problems, err)
		}
	}
	found, check := cfg.check(problems)
	warnings, mistyped := unknown(os.Environ())
	return cfg, append(warnings, found...), errors.Join(slices.Concat(problems, check, mistyped)...)
}

// Variable is one row of the table of settings.
type Variable struct {
	Name    string `json:"name"`
	Default string `json:"default"`
	Value   string `json:"value"` // as present, redacted
	Set     bool   `json:"set"`   // in the environment, if only to nothing
	Meaning string `json:"meaning"`
}

// Table describes every variable, with its present value, secrets redacted.
func Table() []Variable {
	var table []Variable
	for _, v := range variables(new(Config)) {
		row := Variable{Name: v.name, Default: v.field.Tag.Get("default"), Meaning: v.field.Tag.Get("desc")}
		row.Value = row.Default
		if text, ok := os.LookupEnv(v.name); ok {
			row.Set, row.Value = true, v.redact(text)
		}
		table = append(table, row)
	}
	return table
}

// Markdown is the table for the README: names, defaults and meanings.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, v := range variables(new(Config)) {
		def := v.field.Tag.Get("default")
		if def != "" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.name, def, v.field.Tag.Get("desc"))
	}
	return b.String()
}

// variable is a field of Config that one environment variable sets.
type variable struct {
	name   string
	prefix string // that envconfig puts before the field's name
	field  reflect.StructField
	target reflect.Value
}

func variables(cfg *Config) []variable {
	return fields(Prefix, reflect.ValueOf(cfg).Elem())
}

func fields(prefix string, s reflect.Value) []variable {
	var vs []variable
	for i := range s.NumField() {
		field := s.Type().Field(i)
		if field.Tag.Get("ignored") == "true" {
			continue
		}
		if field.Type == reflect.TypeFor[NATS]() || field.Type == reflect.TypeFor[OIDC]() {
			vs = append(vs, fields(prefix+"_"+strings.ToUpper(field.Name), s.Field(i))...)
			continue
		}
		name := field.Name
		if field.Tag.Get("split_words") != "" {
			name = wordEnd.ReplaceAllString(name, "${1}${3}_${2}${4}")
		}
		vs = append(vs, variable{prefix + "_" + strings.ToUpper(name), prefix, field, s.Field(i)})
	}
	return vs
}

// wordEnd finds the seams of a Go name as envconfig does: aB and ABc.
var wordEnd = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// read lets envconfig set this one field: it stops at its first error, and we
// want all of them.
func (v variable) read() error {
	one := reflect.New(reflect.StructOf([]reflect.StructField{v.field}))
	err := envconfig.Process(v.prefix, one.Interface())
	if err == nil {
		v.target.Set(one.Elem().Field(0))
		return nil
	}
	var parse *envconfig.ParseError
	if !errors.As(err, &parse) {
		return fmt.Errorf("read %s: %w", v.name, err)
	}
	switch v.target.Interface().(type) {
	case bool:
		return v.wrong("is not a truth value", "write true or false")
	case int:
		return v.wrong("is not a number", "write a whole number without a unit, or unset it")
	case slog.Level:
		return v.wrong("is not a level", "use debug, info, warn or error")
	default: // our own types give problem and remedy in one
		return fmt.Errorf("%s %w", v.named(), parse.Err)
	}
}

func (v variable) wrong(problem, remedy string) error {
	return fmt.Errorf("%s %s; %s", v.named(), problem, remedy)
}

// named is the variable with its value, as far as it may be shown.
func (v variable) named() string {
	text, ok := os.LookupEnv(v.name)
	if !ok {
		text = v.field.Tag.Get("default")
	}
	return fmt.Sprintf("%s=%q", v.name, v.redact(text))
}

func (v variable) redact(text string) string {
	switch v.target.Interface().(type) {
	case record.Secret:
		return record.Secret(text).String()
	case Servers:
		return Servers(text).String()
	case Tokens:
		return redactTokens(text)
	}
	if v.isPath() && v.looksSecret(text) {
		return "[redacted]"
	}
	return text
}
