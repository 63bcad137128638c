package client

import (
	"context"
	"net/http"
	"net/url"

	"orderbridge/internal/store"
)

func webhookPath(id, operation string) string {
	return "/api/notifications/v1/webhooks/" + url.PathEscape(id) + "/" + operation
}

// Pause holds back the deliveries of a subscription.
func (c *Client) Pause(ctx context.Context, scope store.Scope, id string) (store.Record, error) {
	return c.switched(ctx, scope, id, "pause")
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, scope store.Scope, id string) (store.Record, error) {
	return c.switched(ctx, scope, id, "resume")
}

// Activate lets a subscription go on. The server writes the status and nothing else:
// a record that was read here lacks its secrets.
func (c *Client) Activate(ctx context.Context, scope store.Scope, id string) (store.Record, error) {
	return c.switched(ctx, scope, id, "activate")
}

// Deactivate ends the deliveries of a subscription, as Activate.
func (c *Client) Deactivate(ctx context.Context, scope store.Scope, id string) (store.Record, error) {
	return c.switched(ctx, scope, id, "deactivate")
}

func (c *Client) switched(ctx context.Context, scope store.Scope, id, operation string) (store.Record, error) {
	if err := c.do(ctx, request{method: http.MethodPost, path: webhookPath(id, operation)}, nil); err != nil {
		return store.Record{}, err
	}
	return c.Record(ctx, scope, id)
}

// RotateSecret gives a record another signing secret; what is to be done with the
// record before it is stored, the server does.
func (c *Client) RotateSecret(ctx context.Context, _ store.Scope, id string, q store.RotateRequest,
	_ func(ctx context.Context, id string, rec []byte) ([]byte, error)) (out store.RotateAnswer, err error) {
	err = c.post(ctx, webhookPath(id, "rotate-secret"), q, &out)
	return out, err
}

// RetryNow ends what subscriptions wait for.
func (c *Client) RetryNow(ctx context.Context, _ store.Scope, r store.RetryNowRequest) (out store.RetryNowAnswer, err error) {
	err = c.post(ctx, "/api/v1/retry-now", r, &out)
	return out, err
}

// Skip makes the head of an order a dead letter.
func (c *Client) Skip(ctx context.Context, _ store.Scope, r store.SkipRequest) (out store.SkipAnswer, err error) {
	err = c.post(ctx, webhookPath(r.Subscription, "skip"), r, &out)
	return out, err
}
