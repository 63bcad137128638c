// Package record is the record of a customer's subscription: its members, each
// declared once, with what is checked, hidden, written into the schema and kept on an
// update; Parse, which makes a Subscription and Problems of its JSON; the references to
// secrets; and the Directory, which finds the subscriptions that hear an event.
//
// What becomes of an event that a subscription hears is said by package protocol. No
// secret is read here, and no connection made.
package record
