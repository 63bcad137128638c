package telemetry

import (
	"io"
	"log/slog"

	"orderbridge/internal/safetext"
)

// Logger writes records of at least the level to w, as "json" or as text.
func Logger(w io.Writer, level slog.Level, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	w = safetext.Writer{Under: w}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
