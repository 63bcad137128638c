package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
	"orderbridge/internal/secrets"
)

func newSecrets() *cobra.Command {
	cmd := newGroup("secrets", "Make keys and sealed values for records", newSecretsKeygen(), newSecretsSeal())
	cmd.Long = `A secret value of a record may be the value itself, or a reference:

  env:NAME    a variable, ORDERBRIDGE_SECRET_<TENANT>_…, the tenant in upper case
              and each - and _ of it as __ (without tenant ORDERBRIDGE_SECRET_ and
              one word)
  file:NAME   a file in ORDERBRIDGE_SECRETS_DIR/<tenant> (without tenant: that lies
              in ORDERBRIDGE_SECRETS_DIR itself)
  sealed:…    a value that only the bridge can open, and only for one subscription
              and the hosts that it was sealed for

A variable or file goes only to the hosts that its owner names, since whoever
writes records decides where they send to: NAME_HOSTS=erp.example.com beside the
variable, erp.example.com in the file NAME.hosts beside the file (also the keyFile
of tls). *.example.com, host:port, addresses and, for plain connections,
http://host are possible, several separated by commas or lines. NAME_TENANTS=acme
names the tenants that may use a variable; - are records without tenant.`
	cmd.Example = `  orderbridge secrets keygen /etc/orderbridge/sealing.key
  orderbridge secrets seal --subscription acme --host erp.example.com --to age1…`
	return cmd
}

func newSecretsKeygen() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE|-",
		Short: "Make the key that opens sealed values, and print its public key",
		Long: `Make an identity file of age (mode 0600; an existing file is not touched) and
print the public key. Name the file in ORDERBRIDGE_SEALING_KEY_FILE; give the
public key to whoever writes records. A file may hold several identities: append
a new one to change keys. With - the file goes to stdout.`,
		Example: `  orderbridge secrets keygen sealing.key`,
		Args:    args(1, 1, "a file, or - for stdout"),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, recipient, err := secrets.NewIdentity(time.Now())
			if err != nil {
				return err
			}
			if args[0] == "-" {
				_, err = cmd.OutOrStdout().Write(content)
				return err
			}
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("make the key file: %w", err)
			}
			if _, err = f.Write(content); err == nil {
				err = f.Sync()
			}
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("write the key file: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), recipient)
			return err
		},
	}
}

func newSecretsSeal() *cobra.Command {
	var id, tenant, recipient string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "seal --subscription ID --host HOST",
		Short: "Seal a value from stdin for one subscription and one host",
		Long: `Read a value from stdin and print it sealed, for a record. It can be opened by
the bridge only, and is refused in another subscription or for another host: that
of targetURL, for auth.clientSecret also that of tokenURL (give --host twice), with
its port unless it is the usual one, and with http:// before it for a plain
connection. With --tenant it is refused in records of other tenants, too.`,
		Example: `  printf %s "$PASSWORD" | orderbridge secrets seal --subscription acme --host erp.example.com --to age1…`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			use, err := sealedFor(id, hosts)
			if err != nil {
				return err
			}
			if recipient == "" {
				if recipient, err = ownRecipients(cmd); err != nil {
					return err
				}
			}
			value, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 4097))
			if err != nil {
				return fmt.Errorf("read the value from stdin: %w", err)
			}
			text := strings.TrimSuffix(strings.TrimSuffix(string(value), "\n"), "\r")
			switch {
			case text == "":
				return usagef("stdin is empty; the value to seal is read from there")
			case len([]rune(text)) > 1024:
				return usagef("the value has more than 1024 characters")
			}
			var of *string
			if cmd.Flags().Changed("tenant") {
				of = &tenant
			}
			sealed, err := secrets.Seal(recipient, use, of, record.Secret(text))
			if err != nil {
				return usagef("--to: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), sealed)
			return err
		},
	}
	cmd.Flags().StringVar(&id, "subscription", "", "id of the subscription that may use the value")
	cmd.Flags().StringSliceVar(&hosts, "host", nil,
		"host that the value may be sent to, as in erp.example.com or erp.example.com:8443; may be given again")
	cmd.Flags().StringVar(&tenant, "tenant", "",
		"tenant whose record may use the value, empty for records without (default: of any)")
	cmd.Flags().StringVar(&recipient, "to", "", "public key (default: that of ORDERBRIDGE_SEALING_KEY_FILE)")
	return cmd
}

// sealedFor checks what a value is sealed for.
func sealedFor(id string, hosts []string) (record.SecretUse, error) {
	use := record.SecretUse{Subscription: id}
	if id == "" {
		return use, usagef("--subscription is required: the id of the subscription that may use the value")
	}
	if err := checkID(id); err != nil {
		return use, usagef("--subscription: %w", err)
	}
	if len(hosts) == 0 || slices.Contains(hosts, "") {
		return use, usagef("--host is required: where the value may be sent, as in erp.example.com")
	}
	for _, host := range hosts {
		if !strings.Contains(host, "://") {
			host = "https://" + host
		}
		host = record.SecretHost(host)
		if host == "" {
			return use, usagef("--host names no host; write it as erp.example.com or erp.example.com:8443")
		}
		use.Hosts = append(use.Hosts, host)
	}
	return use, nil
}

// ownRecipients are the public keys of the operator's own file.
func ownRecipients(cmd *cobra.Command) (string, error) {
	cfg, _, err := settings(cmd)
	if err != nil {
		return "", err
	}
	if cfg.SealingKeyFile == "" {
		return "", usagef("there is no public key to seal to; give --to, or set ORDERBRIDGE_SEALING_KEY_FILE")
	}
	keys, err := secrets.Recipients(cfg.SealingKeyFile)
	if err != nil {
		return "", err
	}
	if len(keys) == 0 {
		return "", fmt.Errorf("%s holds no key that values can be sealed to; give --to", cfg.SealingKeyFile)
	}
	return strings.Join(keys, "\n"), nil
}
