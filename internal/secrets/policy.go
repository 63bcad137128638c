package secrets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Whoever writes a record says which tenant it belongs to and where it is sent.
// So a secret of the host says where it may go: a variable by another
// one, …_HOSTS, a file by one beside it, ….hosts. Without either it goes nowhere.

// A Grant is what a file of the operator's own names beside a host: it may go
// there, in records without tenant, whatever else is said of it.
type Grant struct {
	References []string // env:NAME, file:NAME, as records have them
	Host       string   // as of record.SecretHost
}

// Grant sets what the operator's own file grants, instead of what it granted before.
func (s *Store) Grant(g Grant) { s.granted.Store(&g) }

func (s *Store) isGranted(reference string) bool {
	g := s.granted.Load()
	return g != nil && slices.Contains(g.References, reference)
}

func (s *Store) grants(reference string, use record.SecretUse) bool {
	g := s.granted.Load()
	return g != nil && use.Tenant == "" && slices.Contains(g.References, reference) && len(use.Hosts) > 0 &&
		!slices.ContainsFunc(use.Hosts, func(h string) bool { return h == "" || h != g.Host })
}

func refuse(format string, args ...any) error {
	return &record.RefusedSecret{Reason: fmt.Sprintf(format, args...)}
}

// mayUseEnv says why a variable may not be used so.
func (s *Store) mayUseEnv(name string, use record.SecretUse) error {
	if s.grants(record.RefEnv+name, use) {
		return nil
	}
	// Both at once, so that one restart is enough.
	tenant, hosts := s.mayReadTenant(name, use.Tenant), s.mayGoTo(name, use)
	switch {
	case tenant == nil:
		return hosts
	case hosts == nil:
		return tenant
	}
	return refuse("%s; and it %s", tenant, hosts)
}

// mayGoTo holds the hosts of a use against those of the variable.
func (s *Store) mayGoTo(name string, use record.SecretUse) error {
	text, set := s.o.LookupEnv(name + record.EnvHosts)
	patterns, err := parseHosts(text)
	if err != nil {
		return refuse("may not be sent anywhere: the operator's %s%s %s", name, record.EnvHosts, err)
	}
	switch host := first(patterns, use.Hosts); {
	case len(use.Hosts) == 0 || host == "nowhere":
		return refuse("is for no host")
	case host == "":
		return nil
	case !set || len(patterns) == 0:
		return refuse("may not be sent to %s: %s says nothing of where it may go; the operator permits it with %s%s=%s",
			host, name, name, record.EnvHosts, strings.Join(use.Hosts, ","))
	default:
		return refuse("may not be sent to %s, which is not in the operator's %s%s; it is added there as ,%s", host,
			name, record.EnvHosts, host)
	}
}

// mayReadTenant holds the record's tenant against the variable's own list and,
// for records without tenant, against its name.
func (s *Store) mayReadTenant(name, tenant string) error {
	list, set := s.o.LookupEnv(name + record.EnvTenants)
	who := tenant
	if who == "" {
		who = record.NoTenant
	}
	tenants := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	switch {
	case slices.Contains(tenants, who):
		return nil
	case set && tenant != "":
		return refuse("may not be used by tenant %s, which is not in the operator's %s%s", tenant, name, record.EnvTenants)
	case set || tenant == "" && record.SaysTenant(name):
		return refuse("may not be used by records without tenant: the name %s may be that of a tenant's secret; the operator permits it with %s%s=%s, or gives it a name of one word",
			name, name, record.EnvTenants, record.NoTenant)
	}
	return nil
}

// mayUseFile says why a file may not be used so. The tenant's part of the
// directory says whose it is.
func (s *Store) mayUseFile(root *os.Root, name string, use record.SecretUse) error {
	if s.grants(record.RefFile+name, use) {
		return nil
	}
	beside := filepath.Join("ORDERBRIDGE_SECRETS_DIR", use.Tenant,
		name) + record.FileHosts // tenants read it: where that is, is not theirs to know
	data, err := s.readIn(root, use.Tenant, name+record.FileHosts, limits.SecretHostsBytes)
	if errors.Is(err, fs.ErrNotExist) {
		host := strings.Join(use.Hosts, " ")
		return refuse("may not be sent to %s: the file %q says nothing of where it may go; the operator permits it with the line %s in %s", host, name, host, beside)
	}
	if err != nil {
		return refuse("may not be sent anywhere: what says where it may go cannot be read: %s", err)
	}
	patterns, err := parseHosts(withoutComments(string(data)))
	if err != nil {
		return refuse("may not be sent anywhere: the operator's %s %s", beside, err)
	}
	switch host := first(patterns, use.Hosts); {
	case len(use.Hosts) == 0 || host == "nowhere":
		return refuse("is for no host")
	case host != "":
		return refuse("may not be sent to %s, which is not in the operator's %s; it is added there as a line %s", host,
			beside, host)
	}
	return nil
}

func withoutComments(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line, _, _ = strings.Cut(line, "#")
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Unbound says of each variable of an environment that is a secret for records
// and may go nowhere, and of each that says where one may go and is wrong, what
// to do. What the operator's own file names goes somewhere.
func (s *Store) Unbound(environ []string) (remarks []string) {
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	for name := range values {
		if !strings.HasPrefix(name, record.EnvPrefix("")) || record.CheckReference("", record.RefEnv+name) != nil {
			continue
		}
		hosts, set := values[name+record.EnvHosts]
		patterns, err := parseHosts(hosts)
		switch {
		case err != nil:
			remarks = append(remarks, fmt.Sprintf("%s%s %s; until then %s goes nowhere", name, record.EnvHosts, err, name))
		case s.isGranted(record.RefEnv + name):
		case !set || len(patterns) == 0:
			remarks = append(remarks, fmt.Sprintf("%s goes nowhere: nothing says which hosts may get it; set %s%s, as in %s%s=erp.example.com", name, name, record.EnvHosts, name, record.EnvHosts))
		}
	}
	slices.Sort(remarks)
	return remarks
}
