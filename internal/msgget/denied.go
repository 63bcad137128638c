package msgget

import "context"

// Without runs what publishes to a subject; should the server refuse that, run ends at
// once, and the error is a nats.ErrPermissionViolation that names the subject. Else a
// request that is refused waits for an answer until its time is up.
type Without func(ctx context.Context, subject string, run func(context.Context) error) error

type withoutKey struct{}

// WithDenials returns a context whose reads hear at once what the server refuses.
func WithDenials(ctx context.Context, w Without) context.Context {
	return context.WithValue(ctx, withoutKey{}, w)
}

// unlessDenied runs what publishes to a subject.
func unlessDenied(ctx context.Context, subject string, run func(context.Context) error) error {
	if without, ok := ctx.Value(withoutKey{}).(Without); ok && without != nil {
		return without(ctx, subject, run)
	}
	return run(ctx)
}
