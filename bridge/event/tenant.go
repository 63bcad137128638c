package event

import (
	"slices"
	"strings"
)

// The tenant of an event is told by its subject, because the bus can limit who
// publishes to it: by the leading tokens of the layout, up to {tenant},
// whatever follows them. Something must follow unless {tenant} is the last
// token of the layout: with orders.{tenant}.{eventType}.{orderId} the subject
// orders.created is nobody's, as it lies outside of orders.<tenant>.> for any
// of them.
//
// Where a subject is to tell the tenant, nothing else does: an event whose
// subject does not is of no tenant, whatever its payload and headers say. Only
// records without tenant hear it.

// tenantRule finds the tenant in the subjects of one form.
type tenantRule struct {
	before []string // the tokens before {tenant}; "*" for any
	last   bool     // nothing need follow
}

// tenantRuleOf makes a rule of a layout, or of a filter that holds {tenant}.
func tenantRuleOf(layout string) (r tenantRule, ok bool) {
	before, after, ok := strings.Cut(layout, "{tenant}")
	if !ok {
		return r, false
	}
	if before = strings.TrimSuffix(before, "."); before != "" {
		r.before = strings.Split(before, ".")
	}
	for i, token := range r.before {
		if _, named := layoutFields[token]; named {
			r.before[i] = "*"
		}
	}
	r.last = after == ""
	return r, true
}

// find is the tenant's token, "" if the subject is of another form.
func (r *tenantRule) find(subject string) string {
	for _, want := range r.before {
		token, rest, more := strings.Cut(subject, ".")
		if !more || token == "" || want != "*" && want != token {
			return ""
		}
		subject = rest
	}
	tenant, rest, more := strings.Cut(subject, ".")
	if !r.last && (!more || rest == "") {
		return ""
	}
	return tenant
}

// tenantRules are those of a decoder; none: payload and headers tell the tenant.
func (d *Decoder) tenantRules() (rules []tenantRule) {
	layout := d.SubjectLayout
	if layout == "" {
		layout = DefaultSubjectLayout
	}
	for _, form := range append([]string{layout}, d.TenantSubjects...) {
		if r, ok := tenantRuleOf(form); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// OwnSubjects are filters under which all events of a tenant lie, beside others; nil where
// the subject does not tell the tenant.
func (d *Decoder) OwnSubjects(tenant string) (filters []string) {
	if !IsSafeID(tenant) {
		return nil
	}
	for _, r := range d.tenantRules() {
		own := strings.Join(append(slices.Clone(r.before), tenant), ".")
		if filters = append(filters, own+".>"); r.last {
			filters = append(filters, own)
		}
	}
	slices.Sort(filters)
	return slices.Compact(filters)
}

// subjectTenant is the one tenant that the rules find in a subject, "" if they
// find none or several.
func (d *Decoder) subjectTenant(subject string) string {
	tenant := ""
	for i := range d.tenants {
		switch found := d.tenants[i].find(subject); {
		case found == "":
		case tenant != "" && found != tenant:
			return ""
		default:
			tenant = found
		}
	}
	return tenant
}

// Why an event is of no tenant.
const (
	untoldSubject = "its subject is not of the form that tells the tenant (ORDERBRIDGE_SUBJECT_LAYOUT)"
	untoldLong    = "what it tells as its tenant is too long"
	untoldNone    = "it tells none"
)

// Untold says why the event is of no tenant, "" if it is of one.
func (e *Event) Untold() string {
	switch {
	case e.Tenant != "":
		return ""
	case e.over.size(fieldTenant) > 0:
		return untoldLong
	case e.bySubject:
		return untoldSubject
	}
	return untoldNone
}
