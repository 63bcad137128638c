package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func newSubscriptionsGet() *cobra.Command {
	var secrets bool
	cmd := &cobra.Command{
		Use:   "get ID",
		Short: "Show a record, secrets redacted",
		Long: `Show a record as JSON. Passwords, tokens, keys and the values of headers are
redacted, unless they are references (env:NAME, file:NAME, sealed:…).`,
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
	if err := redactValue(dec, &out, false); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out.Bytes(), "", "  "); err != nil {
		return nil, fmt.Errorf("the record is not JSON: %w", err)
	}
	return pretty.Bytes(), nil
}

// redactValue copies the next value; in a secret one only references stay.
func redactValue(dec *json.Decoder, out *bytes.Buffer, secret bool) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	delim, nested := token.(json.Delim)
	if !nested {
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
		within := secret
		if delim == '{' {
			name, err := dec.Token()
			if err != nil {
				return err
			}
			if err := encodeTo(out, name); err != nil {
				return err
			}
			out.WriteByte(':')
			text, _ := name.(string)
			within = secret || slices.ContainsFunc(secretMembers, func(m string) bool { return strings.EqualFold(m, text) })
		}
		if err := redactValue(dec, out, within); err != nil {
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
	return ok && (strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "file:") || strings.HasPrefix(text, "sealed:"))
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
