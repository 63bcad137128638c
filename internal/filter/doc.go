// Package filter evaluates the filters of subscription records: CEL expressions
// over one event. docs/decisions/0007-filters.md says what they may cost.
package filter
