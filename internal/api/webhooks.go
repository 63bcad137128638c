package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/tidwall/gjson"

	"orderbridge/bridge"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

const webhooksPath = "/api/notifications/v1/webhooks"

// shownRecord is a record in an answer.
type shownRecord json.RawMessage

// MarshalJSON implements json.Marshaler.
func (r shownRecord) MarshalJSON() ([]byte, error) { return r, nil }

// Schema implements huma.SchemaProvider.
func (shownRecord) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Ref: "#/components/schemas/Webhook"}
}

type (
	// WebhookID is exported, as are the other parts of inputs, because huma reads
	// embedded structs only if they are.
	WebhookID struct {
		ID string `path:"id" doc:"The id of the record"`
	}
	// WebhookChange names what is to be changed, and at which revision.
	WebhookChange struct {
		WebhookID
		IfMatch string `header:"If-Match" doc:"The ETag of the record that is to be changed; 412 if it is another by now. Left out: whatever it is."`
	}
	webhookAnswer struct {
		ETag string `header:"ETag" doc:"The revision of the record"`
		Body shownRecord
	}
)

func answerRecord(r store.Record) *webhookAnswer {
	return &webhookAnswer{ETag: etag(r), Body: shownRecord(shown(r))}
}

func etag(r store.Record) string { return `"` + strconv.FormatUint(r.Revision, 10) + `"` }

// webhooks are the operations of contract C.
func (a *API) webhooks(h huma.API) {
	register(a, h, "registerWebhook", http.MethodPost, webhooksPath, "Register a webhook",
		"Nothing is probed. The webhook hears all events of the token's tenant by POST, as they were published, unless other members of the record say otherwise.",
		a.createWebhook)
	register(a, h, "listWebhooks", http.MethodGet, webhooksPath, "List the webhooks",
		"In the order of their ids, a page at a time: give the `next` of an answer as `after`.", a.listWebhooks)
	register(a, h, "getWebhook", http.MethodGet, webhooksPath+"/{id}", "Get a webhook", "Secrets are left out.", a.getWebhook)
	register(a, h, "updateWebhook", http.MethodPut, webhooksPath+"/{id}", "Update a webhook",
		"The record is replaced. A secret that is left out stays as long as the host of targetURL (and of tokenURL) stays the same; null removes it. A status that is left out stays.",
		a.updateWebhook)
	register(a, h, "deleteWebhook", http.MethodDelete, webhooksPath+"/{id}", "Delete a webhook",
		"Deliveries that it is still owed are kept for a day.", a.deleteWebhook)
	register(a, h, "activateWebhook", http.MethodPost, webhooksPath+"/{id}/activate", "Activate a webhook",
		"What was owed when it was deactivated is delivered; what was published meanwhile is not.", a.setStatus("active"))
	register(a, h, "deactivateWebhook", http.MethodPost, webhooksPath+"/{id}/deactivate", "Deactivate a webhook",
		"The record stays, its deliveries stop within a second.", a.setStatus("deactivated"))
	register(a, h, "rotateSecret", http.MethodPost, webhooksPath+"/{id}/rotate-secret", "Rotate the signing secret",
		"The new secret signs beside the one before it, which goes with the next rotation (a record that has only `secret` gets it replaced). Give the new one, or none: then one is made, and shown in this answer only.",
		a.rotateSecret)
	register(a, h, "testWebhook", http.MethodPost, webhooksPath+"/{id}/test", "Send a sample event",
		"One sample, marked with `X-Test: true` and ids that begin with `test-`, is sent as deliveries are sent, once. It is not an event of the bus and owes nothing.", a.testWebhook)
}

// register adds one operation; every error passes failure.
func register[I, O any](a *API, h huma.API, id, method, path, summary, description string, handler func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Description: description,
		Tags: []string{tagOf(path)}, Security: []map[string][]string{{"bearer": {}}},
		MaxBodyBytes: limits.APIBodyBytes, SkipValidateBody: true,
		BodyReadTimeout: -1, // the body is there
	}
	huma.Register(h, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			var se huma.StatusError
			if errors.As(err, &se) {
				return nil, err
			}
			return nil, a.failure(ctx, err)
		}
		return out, nil
	})
	// An empty body is for the handlers to judge.
	for _, item := range h.OpenAPI().Paths {
		if item.Post != nil && item.Post.OperationID == id && item.Post.RequestBody != nil {
			item.Post.RequestBody.Required = false
		}
	}
}

func (a *API) createWebhook(ctx context.Context, in *struct{ RawBody []byte }) (*webhookAnswer, error) {
	given, err := readObject(in.RawBody)
	if err != nil {
		return nil, say(http.StatusBadRequest, "the body cannot be used: "+err.Error())
	}
	c := callerOf(ctx)
	id := uuid.NewString()
	value, err := a.record(c, draft{id: id, given: given})
	if err != nil {
		return nil, err
	}
	r, err := a.write(ctx, change{"registerWebhook", id, nil, value})
	if err != nil {
		return nil, err
	}
	return answerRecord(r), nil
}

func (a *API) getWebhook(ctx context.Context, in *WebhookID) (*webhookAnswer, error) {
	r, err := a.o.Catalog.Record(ctx, callerOf(ctx).scope, in.ID)
	if err != nil {
		return nil, err
	}
	return answerRecord(r), nil
}

// PageQuery is what all lists take.
type PageQuery struct {
	After string `query:"after" maxLength:"200" doc:"Begin after this one: the next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most"`
}

type webhookList struct {
	Body struct {
		Items []shownRecord `json:"items" nullable:"false"`
		Next  string        `json:"next,omitempty" doc:"What to give as after for the next page; left out on the last. A page may hold fewer than limit, or none, and yet have a next"`
	}
}

func (a *API) listWebhooks(ctx context.Context, in *struct {
	PageQuery
	Status string `query:"status" enum:"active,deactivated" doc:"Only these"`
	Tenant string `query:"tenant" maxLength:"64" doc:"Only those of this tenant"`
	Host   string `query:"host" maxLength:"260" doc:"Only those whose targetURL has this host"`
}) (*webhookList, error) {
	done, err := a.listing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	f := store.Filter{Status: in.Status, Tenant: in.Tenant, Host: in.Host}
	records, next, err := a.o.Catalog.Records(ctx, callerOf(ctx).scope, f, in.After, in.Limit, func(r store.Record) bool {
		if in.Status == "" && in.Tenant == "" && in.Host == "" {
			return true
		}
		o, err := readObject(r.Value)
		if err != nil {
			return false
		}
		status := o.text("status")
		if status == "" {
			status = "active"
		}
		host := ""
		if u, err := url.Parse(o.text("targetURL")); err == nil {
			host = u.Hostname()
		}
		return (in.Status == "" || in.Status == status) && (in.Tenant == "" || in.Tenant == r.Tenant()) &&
			(in.Host == "" || strings.EqualFold(in.Host, host))
	})
	if err != nil {
		return nil, err
	}
	out := &webhookList{}
	out.Body.Items = make([]shownRecord, 0, len(records))
	for _, r := range records {
		out.Body.Items = append(out.Body.Items, shownRecord(shown(r)))
	}
	out.Body.Next = next
	return out, nil
}

// listing takes a place among the lists, for which it may wait.
func (a *API) listing(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIListWait)
	defer cancel()
	done, ok := a.pools.lists.Wait(ctx, callerOf(ctx).share)
	if !ok {
		return nil, later(time.Second, "too many lists of this caller at once; try again in a second")
	}
	return done, nil
}

// change reads a record, makes a new value of it and stores that, unless
// somebody else was faster: then 412 if the caller meant a certain revision,
// else all over again.
func (a *API) change(ctx context.Context, operation string, in WebhookChange, edit func(store.Record) ([]byte, error)) (store.Record, error) {
	scope := callerOf(ctx).scope
	for try := 1; ; try++ {
		r, err := a.o.Catalog.Record(ctx, scope, in.ID)
		if err != nil {
			return r, err
		}
		if !matches(in.IfMatch, r) {
			return r, say(http.StatusPreconditionFailed, "the record is at "+etag(r)+" by now; read it again")
		}
		value, err := edit(r)
		if err != nil {
			return r, err
		}
		r, err = a.write(ctx, change{operation, in.ID, &r, value})
		if !errors.Is(err, store.ErrChanged) || try == limits.APIChangeRetries {
			return r, err
		}
	}
}

// matches is the comparison of If-Match: strong, any of a list.
func matches(header string, r store.Record) bool {
	if strings.TrimSpace(header) == "" {
		return true
	}
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || one == etag(r) {
			return true
		}
	}
	return false
}

func (a *API) updateWebhook(ctx context.Context, in *struct {
	WebhookChange
	RawBody []byte
}) (*webhookAnswer, error) {
	given, err := readObject(in.RawBody)
	if err != nil {
		return nil, say(http.StatusBadRequest, "the body cannot be used: "+err.Error())
	}
	r, err := a.change(ctx, "updateWebhook", in.WebhookChange, func(r store.Record) ([]byte, error) {
		return a.record(callerOf(ctx), draft{id: r.ID, given: given, now: &r})
	})
	if err != nil {
		return nil, err
	}
	return answerRecord(r), nil
}

func (a *API) deleteWebhook(ctx context.Context, in *WebhookChange) (*struct{}, error) {
	_, err := a.change(ctx, "deleteWebhook", *in, func(store.Record) ([]byte, error) { return nil, nil })
	return nil, err
}

// setStatus changes one member, whatever else is in the record.
func (a *API) setStatus(status string) func(context.Context, *WebhookChange) (*webhookAnswer, error) {
	operation := "activateWebhook"
	if status == "deactivated" {
		operation = "deactivateWebhook"
	}
	return func(ctx context.Context, in *WebhookChange) (*webhookAnswer, error) {
		r, err := a.change(ctx, operation, *in, func(r store.Record) ([]byte, error) {
			o, err := readObject(r.Value)
			if err != nil {
				return nil, say(http.StatusConflict, "the record cannot be read: "+err.Error()+"; update or delete it")
			}
			o.set("status", quoteJSON(status))
			o.set("updatedAt", stamp(a.o.Now()))
			return o.bytes(), nil
		})
		if err != nil {
			return nil, err
		}
		return answerRecord(r), nil
	}
}

// rotation is what came of a rotation.
type rotation struct {
	ID     string `json:"id"`
	Member string `json:"member" enum:"signing,secret" doc:"The member of the record that holds the secret"`
	Secret string `json:"secret,omitempty" doc:"The new secret, if it was made here. It is shown this once."`
}

type rotationAnswer struct {
	ETag string `header:"ETag" doc:"The revision of the record"`
	Body rotation
}

func (a *API) rotateSecret(ctx context.Context, in *struct {
	WebhookChange
	RawBody []byte
}) (*rotationAnswer, error) {
	var given struct {
		Secret string `json:"secret"`
	}
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		dec := json.NewDecoder(bytes.NewReader(in.RawBody))
		dec.DisallowUnknownFields()
		if dec.Decode(&given) != nil {
			return nil, badMember("secret", "cannot be read; the body is empty, or {\"secret\":\"…\"}")
		}
	}
	out := &rotationAnswer{}
	r, err := a.change(ctx, "rotateSecret", in.WebhookChange, func(r store.Record) ([]byte, error) {
		o, err := readObject(r.Value)
		if err != nil {
			return nil, say(http.StatusConflict, "the record cannot be read: "+err.Error()+"; update or delete it")
		}
		_, signs := o.get("signing")
		_, plain := o.get("secret")
		out.Body = rotation{ID: r.ID, Member: "signing"}
		secret := given.Secret
		random := make([]byte, 32)
		_, _ = rand.Read(random) // never fails
		switch {
		case plain && !signs:
			out.Body.Member = "secret"
			if secret == "" {
				secret = hex.EncodeToString(random)
			}
			o.set("secret", quoteJSON(secret))
		default:
			if secret == "" {
				secret = "whsec_" + base64.StdEncoding.EncodeToString(random)
			}
			list := quoteJSON(secret)
			raw, _ := o.get("signing")
			if former := gjson.Get(raw, "secrets.0"); former.Exists() && former.Str != secret {
				list += "," + former.Raw
			}
			o.set("signing", `{"secrets":[`+list+`]}`)
		}
		if given.Secret == "" {
			out.Body.Secret = secret
		}
		o.set("updatedAt", stamp(a.o.Now()))
		value := o.bytes()
		if s, problems := a.o.Parse(r.ID, value); s == nil || problems.Err() != nil {
			return nil, badRecord(problems)
		}
		return value, nil
	})
	out.ETag = etag(r)
	return out, err
}

// attempt is what came of a sample.
type attempt struct {
	DeliveryID string `json:"deliveryId" doc:"Webhook-Id of the request"`
	EventType  string `json:"eventType" doc:"Of the sample"`
	Success    bool   `json:"success"`
	Status     int    `json:"status,omitempty" doc:"HTTP status of the endpoint's answer, if it was not a success"`
	Duration   int64  `json:"durationMs"`
	Reason     string `json:"reason,omitempty" doc:"Why it was not a success"`
}

// outgo waits for the caller's turn to have us make a request: what is slow
// enough is not a scanner of ports. False if the caller asks for too much.
func (a *API) outgo(ctx context.Context, c *caller) (done func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIOutgoWait)
	defer cancel()
	if c.outgo.Wait(ctx) != nil {
		return nil, false
	}
	return a.pools.probes.Wait(ctx, c.share)
}

func (a *API) testWebhook(ctx context.Context, in *WebhookID) (*struct{ Body attempt }, error) {
	c := callerOf(ctx)
	r, err := a.o.Catalog.Record(ctx, c.scope, in.ID)
	if err != nil {
		return nil, err
	}
	s, problems := a.o.Parse(r.ID, r.Value)
	if s == nil || problems.Err() != nil {
		return nil, badRecord(problems)
	}
	generation := r.Revision
	if v, err := a.o.Catalog.Status(ctx, c.scope, r.ID); err == nil {
		generation = v.Generation
	}
	done, ok := a.outgo(ctx, c)
	if !ok {
		return nil, later(limits.APIOutgoWait, "too many requests to endpoints at once; try again in some seconds")
	}
	defer done()
	d := &bridge.Delivery{Subscription: s, Event: sample(s, a.o.Now()), Generation: generation, Attempt: 1, Test: true}
	out := &struct{ Body attempt }{attempt{DeliveryID: d.ID(), EventType: d.Event.Type}}
	bounded, cancel := context.WithTimeout(ctx, limits.APITestTime)
	defer cancel()
	start := time.Now()
	err = a.o.Attempt(bounded, d)
	out.Body.Duration = time.Since(start).Milliseconds()
	var failed *bridge.AttemptError
	switch {
	case err == nil:
		out.Body.Success = true
	case bounded.Err() != nil && ctx.Err() == nil:
		out.Body.Reason = "timeout: no answer within " + limits.APITestTime.String() + ", which is as long as a test waits"
	case errors.As(err, &failed):
		out.Body.Status, out.Body.Reason = failed.Status, failed.Reason
	default:
		return nil, err
	}
	return out, nil
}

// sample is an event that the subscription might hear, marked as a test in its
// ids and its body.
func sample(s *bridge.Subscription, now time.Time) *bridge.Event {
	id := "test-" + uuid.NewString()
	typ := "OrderTest"
	for _, t := range s.Types {
		if !strings.Contains(t, "*") {
			typ = t
			break
		}
	}
	ev := &bridge.Event{ID: id, Type: typ, OrderID: id, LegacyOrderID: id, Tenant: s.Tenant}
	ev.Time, ev.Subject = now, "orders.test"
	body := object{{"orderId", quoteJSON(id)}, {"legacyOrderId", quoteJSON(id)}, {"eventType", quoteJSON(typ)}, {"test", "true"}}
	if typ == gatewayType { // contract A10
		body = object{
			{"elapsedTime", "0"}, {"uuid", quoteJSON(id)}, {"seq", "0"},
			{"created", quoteJSON(now.UTC().Format("2006-01-02T15:04:05"))}, {"orderType", `"TEST"`}, {"locationName", `"test"`},
			{"state", `"test"`}, {"stateStarted", quoteJSON(now.UTC().Format("2006-01-02T15:04:05"))},
			{"type", quoteJSON(typ)}, {"name", `"test"`}, {"test", "true"},
		}
	}
	ev.Data = body.bytes()
	return ev
}
