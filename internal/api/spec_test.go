package api

import (
	"encoding/json"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/audit"
	"orderbridge/internal/store"
)

// openapi.yaml tells of each route, and of no other.
func TestEveryRouteIsDescribed(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	var spec struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(a.spec, &spec); err != nil {
		t.Fatal(err)
	}
	routed, described := []string{"GET " + livePath}, []string{}
	for _, r := range a.routes() {
		routed = append(routed, r.method+" "+r.path)
	}
	for path, item := range spec.Paths {
		for method := range item {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(routed)
	slices.Sort(described)
	if !slices.Equal(routed, described) {
		t.Errorf("routed:\n%s\ndescribed:\n%s", strings.Join(routed, "\n"), strings.Join(described, "\n"))
	}
}

// docs/api.md has a row for each route, and for no other.
func TestEveryRouteHasItsRow(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	text, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	routed, told := []string{"GET " + livePath}, []string{}
	for _, r := range a.routes() {
		routed = append(routed, r.method+" "+r.path)
	}
	path := regexp.MustCompile("`(/api/[^`]*)`")
	for row := range strings.Lines(string(text)) {
		cells := strings.Split(row, "|")
		if len(cells) < 5 || !strings.HasPrefix(cells[1], " `/api/") {
			continue
		}
		for _, at := range path.FindAllStringSubmatch(cells[1], -1) {
			for method := range strings.FieldsSeq(cells[2]) {
				told = append(told, method+" "+at[1])
			}
		}
	}
	slices.Sort(routed)
	slices.Sort(told)
	if !slices.Equal(routed, told) {
		t.Errorf("routed:\n%s\ntold:\n%s", strings.Join(routed, "\n"), strings.Join(told, "\n"))
	}
}

// What the bridge leaves on the bus is answered as it is described, with all its
// members.
func TestFullAnswersAreAsDescribed(t *testing.T) {
	t.Parallel()
	a, catalog, js, names := startOn(t, nil)
	doc, err := libopenapi.NewDocument(a.spec)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if _, err := catalog.Put(t.Context(), store.Everything(), "a", []byte(`{"targetURL":"https://h/"}`), 0); err != nil {
		t.Fatal(err)
	}
	now, until := time.Now().UTC(), uint64(9)
	ref := []event.Ref{{Seq: 1, Time: 2}}
	problem := record.Problem{Field: "targetURL", Message: "is odd", Warning: true}
	put := func(subject string, value any) {
		t.Helper()
		data, err := json.Marshal(value)
		if err == nil {
			_, err = js.Publish(t.Context(), subject, data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put("$KV."+names.Status+".a", protocol.Status{State: protocol.StateRetrying, Revision: 1, Reason: "r", Hears: "all", Errors: []record.Problem{problem}, Warnings: []record.Problem{problem},
		Since: now, Expired: 1, Generation: 1, Bucket: 1, Active: true, Valid: true, Suspended: true, Paused: true, DeletedAt: &now, Anchor: 1, AnchorTime: now, Known: ref,
		Alerts: &protocol.AlertTrouble{Reason: "r", Waits: true},
		Pace:   &protocol.Pace{NotBefore: now, FailingSince: now, Reason: "r", Former: 1, SlowFrom: now, SlowRate: 1.5}})
	put("$KV."+names.Owed+".a.o=1", protocol.LaneEntry{Generation: 1, Key: "o=1", Order: "1", Seqs: []uint64{1}, Head: protocol.Head{Attempts: 1, Next: now, LastStatus: 500, LastError: "no"}, UpTo: 1, Redrive: 1, Known: ref})
	put("$KV."+names.Owed+".a", protocol.Mark{Generation: 1, From: 1, Done: [][2]uint64{{2, 3}}, Until: &until, Reason: "r", UntilTime: now, Known: ref})
	put(names.DeadLetterSubject+".a.o=1", struct {
		protocol.DeadLetter
		Event any `json:"event"`
	}{protocol.DeadLetter{Subscription: "a", Generation: 1, Lane: "o=1", Key: "o=1", Order: "1", Reason: "r", Attempts: 1, LastStatus: 500, DeliveryID: "d", Stream: "ORDERS",
		Sequence: 1, Time: now, Through: 2, Vanished: true, MessageTime: now}, map[string]any{"id": "e", "data": "{}"}})
	for path, want := range map[string]string{
		"/api/v1/statuses": `"suspendedByReceiver":true`, "/api/v1/statuses/a": `"slowRate":1.5`, "/api/v1/owed": `"done":[[2,3]]`,
		"/api/v1/owed?subscription=a": `"seqs":[1]`, "/api/v1/dead-letters": `"sequence":1`, "/api/v1/dead-letters/1": `"event":{`,
	} {
		if w := ask(t, a, v, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s lacks %s", path, w.Code, w.Body, want)
		}
	}
}

// The schemas have the members of the types that are encoded, and require those
// that are never left out.
func TestSchemasAreThoseOfTheTypes(t *testing.T) {
	t.Parallel()
	a, _ := start(t, nil)
	var spec struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Type string }
				Required   []string
				Examples   []json.RawMessage
				Additional any `json:"additionalProperties"`
			}
		}
	}
	if err := json.Unmarshal(a.spec, &spec); err != nil {
		t.Fatal(err)
	}
	types := map[string]any{
		"WebhookListBody": page[shownRecord]{}, "StatusListBody": page[store.Verdict]{}, "OwedListBody": page[store.Debt]{}, "LetterListBody": page[store.Letter]{},
		"Verdict": store.Verdict{}, "Pace": protocol.Pace{}, "AlertTrouble": protocol.AlertTrouble{}, "MemberProblem": record.Problem{},
		"Debt": store.Debt{}, "LaneEntry": protocol.LaneEntry{}, "Head": protocol.Head{}, "Mark": protocol.Mark{},
		"DeadLetter": protocol.DeadLetter{}, "Letter": store.Letter{}, "WholeLetter": wholeLetter{},
		"ExplainRequest": store.ExplainRequest{}, "ExplainAnswer": store.ExplainAnswer{}, "ExplainedEvent": store.ExplainedEvent{},
		"Explanation": bridge.Explanation{}, "Clause": bridge.Clause{}, "FilterValue": bridge.Value{}, "ShownRequest": bridge.Request{},
		"AttemptListBody": attemptList{}, "LoggedAttempt": store.Attempt{}, "OrderStory": store.OrderStory{}, "OrderEvent": store.OrderEvent{},
		"Session": shownSession{}, "Ways": loginWays{}, "LoginBegun": begunLogin{}, "LoginAnswer": endedLogin{}, "LoggedOut": ended{}, "Figures": store.Figures{}, "Tally": store.Tally{}, "SubscriptionFigures": store.SubscriptionFigures{},
		"SubscriptionFiguresBody": page[store.SubscriptionFigures]{}, "Spread": store.Spread{}, "AlertListBody": page[store.AlertEntry]{},
		"AlertEntry": store.AlertEntry{}, "EventListBody": page[store.StreamEvent]{}, "StreamEvent": store.StreamEvent{},
		"Heard": store.Heard{}, "Standing": store.Standing{},
		"LettersRequest": store.LettersRequest{}, "LettersAnswer": store.LettersAnswer{}, "ReplayRequest": bridge.ReplayRequest{},
		"ReplayAnswer": store.ReplayAnswer{}, "Replay": bridge.Replay{}, "ReplayListBody": page[bridge.Replay]{}, "ReplayCount": bridge.ReplayCount{},
		"RewindRequest": bridge.RewindRequest{}, "RewindAnswer": store.RewindAnswer{},
		"RecordListBody": page[rawRecord]{}, "RawRecord": rawRecord{}, "JudgeRequest": store.JudgeRequest{}, "JudgeAnswer": store.JudgeAnswer{},
		"Overview": store.Overview{}, "Leaders": store.Leaders{}, "Layout": protocol.Layout{}, "ShardsRequest": store.ShardsRequest{}, "StreamRequest": store.StreamRequest{},
		"StreamAnswer": store.StreamAnswer{}, "AuditListBody": audit.Found{}, "Removed": removed{},
		"RetryNow": store.RetryNowAnswer{}, "Skip": store.SkipRequest{}, "Skipped": store.SkipAnswer{},
		"Rotation": store.RotateAnswer{}, "NewSecret": store.RotateRequest{}, "Attempt": store.TestAnswer{}, "TestRequest": store.TestRequest{}, "Problem": problem{},
	}
	for name, schema := range spec.Components.Schemas {
		value, known := types[name]
		if !known {
			if !slices.Contains([]string{"Subscription", "Webhook", "Listener", "Plain", "Ref"}, name) {
				t.Errorf("schema %s is of no type", name)
			}
			continue
		}
		delete(types, name)
		all, always := map[string]string{}, []string{}
		membersOf(reflect.TypeOf(value), all, &always)
		described := map[string]string{}
		for member, p := range schema.Properties {
			described[member] = p.Type
		}
		for member, kind := range described {
			if kind == "" { // a reference, or any value
				all[member] = ""
			}
		}
		if !maps.Equal(all, described) {
			t.Errorf("schema %s has the members %v, its type %v", name, described, all)
		}
		if name == "Skip" || strings.HasSuffix(name, "Request") && name != "ShownRequest" {
			if schema.Additional != false {
				t.Errorf("schema %s does not say that it has no other members", name)
			}
			for _, example := range schema.Examples {
				if err := store.ReadRequest(example, reflect.New(reflect.TypeOf(value)).Interface()); err != nil {
					t.Errorf("the example %s of %s: %v", example, name, err)
				}
			}
		}
		slices.Sort(always)
		slices.Sort(schema.Required)
		if !slices.Equal(always, schema.Required) {
			t.Errorf("schema %s requires %q, its type always has %q", name, schema.Required, always)
		}
	}
	for name := range types {
		t.Errorf("there is no schema %s", name)
	}
}

// membersOf finds what is encoded of a type, and what of it always.
func membersOf(t reflect.Type, all map[string]string, always *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && !tagged:
			membersOf(f.Type, all, always)
			continue
		case !f.IsExported() || name == "-":
			continue
		case name == "":
			name = f.Name
		}
		if _, twice := all[name]; twice {
			continue // the outer one counts
		}
		all[name] = kindOf(f.Type)
		if options == "" {
			*always = append(*always, name)
		}
	}
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[bridge.AttemptHeaders]():
		return "object"
	case reflect.TypeFor[[]byte]():
		return "string"
	}
	switch t.Kind() {
	case reflect.Map:
		return "object"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Slice, reflect.Array:
		return "array"
	case reflect.Float64:
		return "number"
	case reflect.Struct:
		return map[bool]string{true: "string", false: ""}[t.String() == "time.Time"]
	}
	return "integer"
}
