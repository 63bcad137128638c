package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"orderbridge/bridge"
)

func newSubscriptionsGet() *cobra.Command {
	var secrets bool
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show a record, secrets redacted",
		Long: `Show a record as JSON. Passwords, tokens, keys, the values of headers and those
in the query of a URL are redacted, unless they are references (env:NAME,
file:NAME, sealed:…) or placeholders.`,
		Example: `  orderbridge subscriptions get acme
  orderbridge subscriptions get acme --show-secrets  as it is stored`,
		Args: args(1, 1, "the id of a subscription"),
		RunE: onBus(func(ctx context.Context, cmd *cobra.Command, s *session, args []string) error {
			entry, _, err := s.record(ctx, args[0])
			if err != nil {
				return err
			}
			record := entry.Value()
			if !secrets {
				if record, err = redactRecord(record); err != nil {
					return fmt.Errorf("subscription %q: %w; --show-secrets shows it as it is stored", args[0], err)
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", bytes.TrimRight(record, "\n"))
			return err
		}),
	}
	cmd.Flags().BoolVar(&secrets, "show-secrets", false, "show the record as it is stored")
	return cmd
}

// secretMembers hold secrets wherever they stand in a record.
var secretMembers = []string{"password", "clientSecret", "token", "secret", "secrets", "key", "keyPassword", "headers"}

// redactRecord is the record with its members in order, without its secrets.
func redactRecord(record []byte) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(record))
	dec.UseNumber()
	var out bytes.Buffer
	if err := redactValue(dec, &out, "", false); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	return pretty.Bytes(), nil
}

// redactValue copies the next value, that of a member or in its list; in a
// secret one only references stay.
func redactValue(dec *json.Decoder, out *bytes.Buffer, member string, secret bool) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := token.(json.Delim)
	if !nested {
		if text, ok := token.(string); ok && strings.Contains(text, "://") {
			token = redactURL(text)
		}
		if secret && !isReference(token) {
			token = "[redacted]"
		}
		return encodeTo(out, token)
	}
	out.WriteString(delim.String())
	for n := 0; dec.More(); n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		inner, within := member, secret
		if delim == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if err := encodeTo(out, name); err != nil {
				return err
			}
			out.WriteByte(':')
			inner, _ = name.(string)
			within = secret || member != "labels" && !knownMembers()[inner] ||
				slices.ContainsFunc(secretMembers, func(m string) bool { return strings.EqualFold(m, inner) })
		}
		if err := redactValue(dec, out, inner, within); err != nil {
			return err
		}
	}
	end, err := dec.Token()
	if err != nil {
		return err
	}
	return encodeDelim(out, end)
}

func isReference(token json.Token) bool {
	text, ok := token.(string)
	return ok && (strings.HasPrefix(text, bridge.RefFile) || bridge.CheckReference("", text) == nil)
}

// knownMembers are all names that the schema knows; what stands under another
// one may be a secret that was given a wrong name.
var knownMembers = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	var collect func(v any)
	collect = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if properties, ok := v["properties"].(map[string]any); ok {
				for name := range properties {
					known[name] = true
				}
			}
			for _, inner := range v {
				collect(inner)
			}
		case []any:
			for _, inner := range v {
				collect(inner)
			}
		}
	}
	var schema any
	if json.Unmarshal(bridge.SubscriptionSchema(), &schema) == nil {
		collect(schema)
	}
	return known
})

var (
	userInfo   = regexp.MustCompile(`(://)[^/?#]*@`)
	queryValue = regexp.MustCompile(`([?&][^=&#]*=)[^&#{<]{6,}`)
)

// redactURL leaves out what of a URL may be a secret: user info, and the
// constant values of its query.
func redactURL(text string) string {
	text = userInfo.ReplaceAllString(text, "$1[redacted]@")
	return queryValue.ReplaceAllString(text, "$1[redacted]")
}

func encodeTo(out *bytes.Buffer, token json.Token) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return enc.Encode(token)
}

func encodeDelim(out *bytes.Buffer, token json.Token) error {
	_, err := fmt.Fprint(out, token)
	return err
}
