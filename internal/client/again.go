package client

import (
	"context"
	"net/http"
	"net/url"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

// Test sends an event for a test.
func (c *Client) Test(ctx context.Context, _ store.Scope, r store.TestRequest) (out store.TestAnswer, err error) {
	path := "/api/v1/test"
	if r.Record == nil {
		path = webhookPath(r.Subscription, "test")
	}
	err = c.post(ctx, path, r, &out)
	return out, err
}

// RedriveLetters puts many dead letters back.
func (c *Client) RedriveLetters(ctx context.Context, _ store.Scope, r store.LettersRequest) (out store.LettersAnswer, err error) {
	err = c.post(ctx, "/api/v1/dead-letters/redrive", r, &out)
	return out, err
}

// RemoveSome removes many dead letters.
func (c *Client) RemoveSome(ctx context.Context, _ store.Scope, r store.LettersRequest) (out store.LettersAnswer, err error) {
	err = c.post(ctx, "/api/v1/dead-letters/purge", r, &out)
	return out, err
}

// Replay begins a replay, or counts what it would send.
func (c *Client) Replay(ctx context.Context, _ store.Scope, r bridge.ReplayRequest) (out store.ReplayAnswer, err error) {
	err = c.post(ctx, "/api/v1/replays", r, &out)
	return out, c.whole(out.Replay != nil && !r.DryRun || out.Count != nil && r.DryRun, err)
}

// Replays lists them.
func (c *Client) Replays(ctx context.Context, _ store.Scope, subscription string) ([]bridge.Replay, error) {
	var p page[bridge.Replay]
	err := c.get(ctx, "/api/v1/replays", values("subscription", subscription), &p)
	return p.Items, err
}

func replayPath(id string) string { return "/api/v1/replays/" + url.PathEscape(id) }

// ReplayOf reads one.
func (c *Client) ReplayOf(ctx context.Context, _ store.Scope, id string) (out bridge.Replay, err error) {
	err = c.get(ctx, replayPath(id), nil, &out)
	return out, err
}

// StopReplay ends one.
func (c *Client) StopReplay(ctx context.Context, _ store.Scope, id string) (out bridge.Replay, err error) {
	err = c.do(ctx, request{method: http.MethodDelete, path: replayPath(id)}, &out)
	return out, err
}

// Rewind sets a subscription back.
func (c *Client) Rewind(ctx context.Context, _ store.Scope, r bridge.RewindRequest) (out store.RewindAnswer, err error) {
	err = c.post(ctx, webhookPath(r.Subscription, "rewind"), r, &out)
	return out, c.whole(out.Count != nil, err)
}
