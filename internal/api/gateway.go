package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/callers"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

const (
	gatewayV1   = "/api/v1/register"
	gatewayV2   = "/api/v2/register"
	gatewayType = "ORDER_MODIFIED"
	parameter   = "http_client"
)

func isGateway(path string) bool { return path == gatewayV1 || path == gatewayV2 }

func (a *API) registerByBody(r *http.Request) (answer, error) {
	target, err := fromBody(r.Header.Get("Content-Type"), bodyOf(r))
	return answer{body: a.registerListener(r.Context(), target, err)}, nil
}

func (a *API) registerByQuery(r *http.Request) (answer, error) {
	target, err := fromForm(r.URL.RawQuery)
	return answer{body: a.registerListener(r.Context(), target, err)}, nil
}

// changesByGet is true for a registration by GET for which a page may have used
// a browser, without a word of it.
func changesByGet(r *http.Request) bool {
	target, err := fromForm(r.URL.RawQuery)
	return err == nil && target != "" && callers.ShyBrowser(r)
}

var errUnreadable = errors.New("the body cannot be read")

// fromBody reads the parameter of version 2: JSON, or a form.
func fromBody(contentType string, body []byte) (string, error) {
	text := strings.TrimSpace(string(body))
	kind, _, err := mime.ParseMediaType(contentType)
	if contentType == "" && (text == "" || strings.HasPrefix(text, "{")) {
		kind, err = "application/json", nil
	}
	switch {
	case err == nil && kind == "application/x-www-form-urlencoded":
		return fromForm(text)
	case err != nil || kind != "application/json":
		return "", errors.New("the body must be application/json or application/x-www-form-urlencoded")
	case text == "":
		return "", nil
	case !json.Valid(body) || !gjson.Parse(text).IsObject():
		return "", errUnreadable
	}
	switch v := gjson.Parse(text).Get(parameter); v.Type {
	case gjson.Null:
		return "", nil
	case gjson.String:
		return v.Str, nil
	default:
		return "", errors.New(parameter + " must be a string")
	}
}

// fromForm finds the parameter in a query or form. A value that holds :// as it
// stands is not encoded: all that follows belongs to it, byte for byte, its own
// ? and & included.
func fromForm(query string) (string, error) {
	for rest := query; rest != ""; {
		pair, after, _ := strings.Cut(rest, "&")
		if value, ok := strings.CutPrefix(pair, parameter+"="); ok {
			if strings.Contains(value, "://") {
				return rest[len(parameter)+1:], nil
			}
			decoded, err := url.QueryUnescape(value)
			if err != nil {
				return "", errors.New(parameter + " is not percent-encoded well")
			}
			return decoded, nil
		}
		rest = after
	}
	return "", nil
}

// registerListener answers in contract A's own shape, whatever happens.
func (a *API) registerListener(ctx context.Context, target string, err error) *plain {
	switch {
	case err != nil:
		return &plain{http.StatusBadRequest, err.Error()}
	case target == "":
		return a.listeners(ctx)
	}
	return a.addListener(ctx, target)
}

// listenerID is the same for the same URL of the same tenant.
func listenerID(tenant, target string) string {
	space := uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:orderbridge:listener:"+tenant))
	return uuid.NewSHA1(space, []byte(target)).String()
}

// isListenerID is true for ids of that kind, and for some others.
func isListenerID(id string) bool { return len(id) == 36 && id[14] == '5' }

// plainly is an error in contract A's own shape.
func (a *API) plainly(ctx context.Context, err error) *plain {
	f := a.failure(ctx, err)
	return &plain{f.Status, f.Detail}
}

// listeners names the caller's registrations: the records whose id is that of
// their URL.
func (a *API) listeners(ctx context.Context) *plain {
	scope := callerOf(ctx).scope
	tenant, _ := scope.Tenant()
	const most = 100
	done, err := a.listing(ctx)
	if err != nil {
		return a.plainly(ctx, err)
	}
	defer done()
	records, next, err := a.o.Catalog.Records(ctx, scope, store.Filter{ID: isListenerID, Alone: tenant == ""}, "", most,
		func(r store.Record) bool {
			return r.Tenant() == tenant && r.ID == listenerID(tenant, gjson.GetBytes(r.Value, "targetURL").Str)
		})
	if err != nil {
		return a.plainly(ctx, err)
	}
	var urls []string
	for _, r := range records {
		urls = append(urls, gjson.GetBytes(r.Value, "targetURL").Str)
	}
	message := "No registered clients"
	if len(urls) > 0 {
		message = "Registered clients: " + strings.Join(urls, " ")
	}
	if next != "" {
		message += " and more"
	}
	return &plain{http.StatusOK, message}
}

func (a *API) addListener(ctx context.Context, target string) *plain {
	c := callerOf(ctx)
	tenant, _ := c.scope.Tenant()
	id := listenerID(tenant, target)
	if !utf8.ValidString(target) || strings.ContainsFunc(target, unicode.IsControl) || strings.ContainsAny(target, "{}<>") {
		return &plain{http.StatusBadRequest, "Malformed URL: it holds what no URL may hold"}
	}
	given := object{
		{"targetURL", quoteJSON(target)}, {"method", `"POST"`}, {"payload", `"event"`},
		{"eventTypes", `["` + gatewayType + `"]`},
	}
	value, err := a.listener(c, id, given)
	if err != nil {
		return err
	}
	done, ok := a.outgo(ctx, c)
	if !ok {
		return &plain{http.StatusTooManyRequests, "Too many registrations at once; try again in some seconds"}
	}
	defer done()
	if err := a.probe(ctx, c, target); err != nil {
		return err
	}
	if err := a.storeListener(ctx, id, target, value); err != nil {
		return a.plainly(ctx, err)
	}
	return &plain{http.StatusOK, "Registered client at: " + target}
}

// listener makes the record. What is wrong with it only by the operator's policy
// is not malformed, but forbidden.
func (a *API) listener(c *caller, id string, given object) ([]byte, *plain) {
	value, err := a.record(c, draft{id: id, given: given, now: &store.Record{ID: id, Time: a.o.Now()}})
	if err == nil {
		return value, nil
	}
	reason := ""
	var p *problem
	if errors.As(err, &p) {
		reason = ": " + strings.ReplaceAll(p.Detail, "targetURL: ", "")
	}
	if _, problems := record.Parse(id, given.bytes(), record.Policy{AllowHTTP: true}); problems.Err() == nil {
		return nil, &plain{http.StatusForbidden, "Client not allowed at " + given.text("targetURL") + reason}
	}
	return nil, &plain{http.StatusBadRequest, "Malformed URL" + reason}
}

// probe is A4. Why a listener is not reachable is not said: that would make us
// the eyes of whoever asks.
func (a *API) probe(ctx context.Context, c *caller, target string) *plain {
	tenant, _ := c.scope.Tenant()
	err := a.o.Probe(ctx, tenant, target)
	var failed *bridge.AttemptError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed) && failed.Fault == bridge.FaultConfig:
		a.o.Log.Info("api: a registration was refused by policy", "reason", cmp.Or(failed.Detail, failed.Reason),
			"token", c.name, "request_id", ctx.Value(requestKey{}))
		return &plain{http.StatusForbidden,
			"Client not allowed at " + target + ": its address needs ORDERBRIDGE_EGRESS_ALLOW"}
	case errors.As(err, &failed):
		c.outgo.ReserveN(a.o.Now(), failedProbe)
		a.o.Log.Info("api: a registration did not answer", "reason", cmp.Or(failed.Detail, failed.Reason),
			"token", c.name, "request_id", ctx.Value(requestKey{}))
		return &plain{http.StatusNotFound, "Client not responding at " + target}
	default:
		return &plain{http.StatusServiceUnavailable, "The program is about to stop; try again"}
	}
}

// failedProbe is what a probe without an answer costs more than a good one.
const failedProbe = 2

// storeListener puts the record, unless it stands there already and works.
func (a *API) storeListener(ctx context.Context, id, target string, value []byte) error {
	scope := callerOf(ctx).scope
	for try := 1; ; try++ {
		r, err := a.o.Catalog.Record(ctx, scope, id)
		if errors.Is(err, protocol.ErrNotFound) {
			_, err = a.write(ctx, change{"registerListener", id, nil, value})
		} else if err == nil {
			s, problems := a.o.Parse(id, r.Value)
			switch {
			case s == nil || problems.Err() != nil || s.TargetURL != target:
				_, err = a.write(ctx, change{"registerListener", id, &r, value})
			case s.Inactive:
				o, _ := readObject(r.Value) // it has just been parsed
				o.set("status", `"active"`)
				o.set("updatedAt", stamp(a.o.Now()))
				_, err = a.write(ctx, change{"registerListener", id, &r, o.bytes()})
			default:
				return nil
			}
		}
		if !errors.Is(err, store.ErrChanged) || try == limits.APIChangeRetries {
			return err
		}
	}
}
