package bridge

import (
	_ "embed"
	"slices"
)

//go:embed subscription.schema.json
var subscriptionSchema []byte

// SubscriptionSchema returns the JSON Schema (2020-12) of a record, as text. It
// accepts what ParseSubscription accepts, as far as a schema can tell.
func SubscriptionSchema() []byte { return slices.Clone(subscriptionSchema) }
