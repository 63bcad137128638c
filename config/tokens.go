package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Token lets somebody call the management API.
type Token struct {
	Name   string
	Secret record.Secret
	Tenant string // "": all tenants
	Reads  bool   // it changes nothing
}

// Tokens are written as name:token, name:token:tenant or name:token:tenant:read,
// separated by commas.
type Tokens []Token

var tokenText = regexp.MustCompile(`^[!-+\--9;-~]+$`) // visible ASCII but , and :

// Decode implements envconfig.Decoder. No error shows a token.
func (t *Tokens) Decode(value string) error {
	*t = nil
	for i, item := range split(value) {
		one, err := parseToken(item)
		if err != nil {
			return fmt.Errorf("holds as entry %d what is not a token: %w; write it as name:token, name:token:tenant or name:token:tenant:read",
				i+1, err)
		}
		*t = append(*t, one)
	}
	return nil
}

func parseToken(item string) (Token, error) {
	parts := strings.Split(item, ":")
	switch {
	case len(parts) < 2 || len(parts) > 4:
		return Token{}, errors.New("it does not have two, three or four parts")
	case !plain.MatchString(parts[0]):
		return Token{}, errors.New("its name must be 1 to 64 letters, digits, - and _")
	case len(parts[1]) < limits.TokenLeast:
		return Token{}, fmt.Errorf("its token has fewer than %d characters, so that it could be guessed", limits.TokenLeast)
	case !tokenText.MatchString(parts[1]):
		return Token{}, errors.New("its token holds a character that is not visible ASCII")
	case len(parts) == 4 && parts[3] != "read":
		return Token{}, errors.New("its fourth part is not read")
	case len(parts) > 2 && !plain.MatchString(parts[2]) && (len(parts) == 3 || parts[2] != ""):
		return Token{}, errors.New("its tenant must be 1 to 64 letters, digits, - and _")
	}
	t := Token{Name: parts[0], Secret: record.Secret(parts[1]), Reads: len(parts) == 4}
	if len(parts) > 2 {
		t.Tenant = parts[2]
	}
	return t, nil
}

func (t Tokens) check() error {
	names, secrets := map[string]bool{}, map[record.Secret]bool{}
	for _, one := range t {
		if names[one.Name] {
			return fmt.Errorf("holds the name %q twice", one.Name)
		}
		if secrets[one.Secret] {
			return fmt.Errorf("holds the token of %q under another name as well", one.Name)
		}
		names[one.Name], secrets[one.Secret] = true, true
	}
	return nil
}

func (t Tokens) String() string {
	items := make([]string, len(t))
	for i, one := range t {
		items[i] = one.Name + ":" + one.Secret.String()
		if one.Tenant != "" || one.Reads {
			items[i] += ":" + one.Tenant
		}
		if one.Reads {
			items[i] += ":read"
		}
	}
	return strings.Join(items, ",")
}

func redactTokens(text string) string {
	var t Tokens
	if t.Decode(text) != nil {
		return "[redacted]"
	}
	return t.String()
}

// AllAPITokens are those of APITokens and those of the file, which has one a
// line; empty lines and those that begin with # do not count.
func (c *Config) AllAPITokens() (Tokens, error) {
	all := append(Tokens{}, c.APITokens...)
	if c.APITokensFile == "" {
		return all, nil
	}
	fail := func(err error) (Tokens, error) {
		return nil, fmt.Errorf("read %s_API_TOKENS_FILE: %w", Prefix, err)
	}
	content, err := readFile(c.APITokensFile)
	if err != nil {
		return fail(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := parseToken(line)
		if err != nil {
			return fail(fmt.Errorf("line %d is not a token: %w; write it as name:token, name:token:tenant or name:token:tenant:read", n, err))
		}
		all = append(all, one)
	}
	if err := lines.Err(); err != nil {
		return fail(err)
	}
	if err := all.check(); err != nil {
		return fail(fmt.Errorf("together with %s_API_TOKENS it %w; give each token once, each under a name of its own",
			Prefix, err))
	}
	return all, nil
}

// ConfineTenants are the subject filters that a tenant's records are confined
// to, with {tenant} for its name: TenantSubjects, or what SubjectLayout tells,
// up to the token of the tenant; nil if it tells nothing of tenants.
func (c *Config) ConfineTenants() []string {
	if len(c.TenantSubjects) > 0 {
		return c.TenantSubjects
	}
	tokens := strings.Split(c.SubjectLayout, ".")
	for i, token := range tokens {
		switch {
		case token == "{tenant}" && i < len(tokens)-1:
			return []string{strings.Join(append(tokens[:i+1], ">"), ".")}
		case token == "{tenant}":
			return []string{strings.Join(tokens, ".")}
		case strings.HasPrefix(token, "{"):
			tokens[i] = "*"
		}
	}
	return nil
}
