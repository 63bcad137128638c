// Package publishers holds the outbound side: Watermill publishers for
// webhooks (Webhook) and for JetStream (JetStream), and the stream of dead
// letters (DeadLetters). Each can be used and tested alone.
package publishers
