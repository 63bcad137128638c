package secrets

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// usesOf says what each secret member of a record is for. It is false if the
// record names no host.
func usesOf(id string, rec []byte) (of func(field string) record.SecretUse, ok bool) {
	if !gjson.ValidBytes(rec) {
		return nil, false
	}
	hosts := func(members []string) (list []string) {
		for _, v := range gjson.GetManyBytes(rec, members...) {
			if host := record.SecretHost(v.String()); host != "" {
				list = append(list, host)
			}
		}
		return list
	}
	tenant := gjson.GetBytes(rec, "tenant").String()
	return func(field string) record.SecretUse {
		return record.SecretUse{Subscription: id, Tenant: tenant, Hosts: hosts(record.SecretGoesTo(field))}
	}, len(hosts([]string{"targetURL"})) > 0
}

// SealRecord seals each secret of a record that stands in it as it is, for the
// use that the record makes of it. Without a sealing key the record stays as it is.
func (s *Store) SealRecord(id string, rec []byte) ([]byte, error) {
	use, ok := usesOf(id, rec)
	if s.o.IdentityFile == "" || !ok {
		return rec, nil
	}
	recipients := ""
	out, err := record.ReplaceSecrets(rec, func(field, value string) (string, error) {
		if record.IsReference(value) {
			return value, nil
		}
		if recipients == "" {
			keys, err := Recipients(s.o.IdentityFile)
			if err == nil && len(keys) == 0 {
				err = errors.New("sealing key cannot be used: its file holds no key that values can be sealed to")
			}
			if err != nil {
				return "", err
			}
			recipients = strings.Join(keys, "\n")
		}
		use := use(field)
		sealed, err := Seal(recipients, use, &use.Tenant, record.Secret(value))
		switch {
		case err != nil:
			return "", fmt.Errorf("%s: %w", field, err)
		case len(sealed) > limits.ReferenceLength:
			return "", record.Problems{{Field: field, Message: "is too long to be sealed; give it as file: or env:"}}
		}
		return sealed, nil
	})
	if err != nil || out == nil {
		return rec, err
	}
	return out, nil
}

// OpenRecord is the record with those of its sealed values opened that can be,
// to be compared with another. It must not be stored, shown or logged.
func (s *Store) OpenRecord(id string, rec []byte) []byte {
	use, ok := usesOf(id, rec)
	if s.o.IdentityFile == "" || !ok {
		return rec
	}
	out, err := record.ReplaceSecrets(rec, func(field, value string) (string, error) {
		if !strings.HasPrefix(value, record.RefSealed) {
			return value, nil
		}
		opened, _, err := s.Value(value, use(field))
		if err != nil {
			return value, nil
		}
		return opened.Reveal(), nil
	})
	if err != nil || out == nil {
		return rec
	}
	return out
}
