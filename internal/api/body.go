package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/share"
)

var (
	errTooLarge = errors.New("the body is too large")
	errSlow     = errors.New("the body comes too slowly")
)

// readBody reads the whole body of a request whose sender is known, before
// anything waits for it: what comes slowly holds nothing but a place among the
// bodies. After an error the deadline stays: the server reads no rest, and closes.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	connection := http.NewResponseController(w)
	switch {
	case r.ContentLength == 0:
		return nil, nil
	case r.ContentLength > limits.APIBodyBytes:
		return nil, errTooLarge
	}
	start := time.Now()
	body := make([]byte, 0, min(max(r.ContentLength, 512), limits.APIBodyBytes)+1)
	for {
		if len(body) > limits.APIBodyBytes {
			return nil, errTooLarge
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		due := start.Add(limits.APIBodyGrace + time.Duration(len(body))*time.Second/limits.APIBodyRate)
		if time.Now().After(due) {
			return nil, errSlow
		}
		_ = connection.SetReadDeadline(due) // a recorder of tests has none
		n, err := r.Body.Read(body[len(body):min(cap(body), limits.APIBodyBytes+1)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			_ = connection.SetReadDeadline(time.Time{})
			return body, nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, errSlow
		case err != nil:
			return nil, err
		}
	}
}

// takeBody reads the whole body, which handlers then have at hand; or answers.
func (a *API) takeBody(w http.ResponseWriter, r *http.Request) bool {
	body, err := a.readBody(w, r)
	var beyond *http.MaxBytesError
	switch {
	case err == nil:
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return true
	case errors.As(err, &beyond):
		refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("%s: it may have %d bytes", errTooLarge, beyond.Limit))
	case errors.Is(err, errTooLarge):
		refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("%s: it may have %d bytes", err, limits.APIBodyBytes))
	case errors.Is(err, errSlow):
		refuse(w, r, http.StatusRequestTimeout,
			fmt.Sprintf("%s: it must begin within %s and bring %d bytes a second", err, limits.APIBodyGrace,
				limits.APIBodyRate))
	default:
		refuse(w, r, http.StatusBadRequest, "the body cannot be read")
	}
	return false
}

// wait takes a place in a pool, for which the request may wait a little.
func (a *API) wait(ctx context.Context, pool *share.Pool[string], key string) (give func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIWait)
	defer cancel()
	return pool.Wait(ctx, key)
}
