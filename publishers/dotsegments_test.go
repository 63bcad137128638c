package publishers

import (
	"net/url"
	"path"
	"strings"
	"testing"

	"orderbridge/bridge/event"
	"orderbridge/bridge/record"
)

// Ids that some server takes for a way out of the path are refused in a path,
// and pass in a query.
func TestContractD3NoWayOutOfThePath(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		".", "..", "../admin", "../../admin", "a/../b", "a/./b", "a/..", "/..", "./a", "/./a", `..\admin`, `\..\x`, `a\..`,
		"..;/admin", "..;x=y/admin", "a;/../b", "..;", ";..",
		"%2e%2e", "%2e%2e/admin", "..%2fadmin", "%2e.%2fadmin", ".%2E/x", "..%5cadmin", "%2e%2e%3b/x",
		"%252e%252e%252fadmin", "..%252fadmin", "%25252e%25252e%25252f", "%%32%65%%32%65/x", "%25%32%65%25%32%65%2f",
		"%u002e%u002e%u002fadmin", "%uff0e%uff0e/x",
		"\xc0\xae\xc0\xae/x", "..\xc0\xafx", "..\xc1\x9cx", "\xe0\x80\xae\xe0\x80\xae\xe0\x80\xafx", "\xf0\x80\x80\xae./x", "\xc0\x2e\xc0\x2e/",
		"%c0%ae%c0%ae%c0%afadmin", "%25c0%25ae%25c0%25ae/",
		"．．/admin", "．．／admin", "..＼x", "..；/x", "‥/x", "․․/x", "﹒﹒/x", "％２ｅ％２ｅ／x", "%ef%bc%8e%ef%bc%8e/", "..∕x", "..⁄x",
		"..\x00", "..\x00/x", "..%00/x", "..%2500x", ".\x00./x", "..\x00.jpg",
		".. /x", "..%20/x", " ../x", "...  /x", ".. ./x", ". ./x", "..+/x", "..\t/x", ".\r\n./x", "..\u00a0/x", "..\u200b/x", ".\u00ad./x", "\ufeff../x", "..\u202e/x",
		"..?x", "..#x", "..%3fx", "..:$DATA/x", "..::$INDEX_ALLOCATION/x", "..\xff/x",
		"a/b/c/../../../../x", strings.Repeat("a/", 200) + "..",
	} {
		for _, target := range []string{"https://h/hooks/{orderId}", "https://h/hooks/{orderId}/lines?x=1"} {
			if _, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: target}, &event.Event{OrderID: id}); err == nil {
				t.Errorf("%q in %s is sent", id, target)
			} else if !strings.Contains(err.Error(), "cannot stand in a path") {
				t.Errorf("%q in %s: %v", id, target, err)
			}
		}
		if _, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: "https://h/hooks/?o={orderId}"}, &event.Event{OrderID: id}); err != nil {
			t.Errorf("%q in a query: %v", id, err)
		}
	}
}

// What is not such an id goes on as before.
func TestContractD3OtherIDsPass(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"4711", "a.b", "..a", "a..", "a...b", "...", ".hidden", "a/.b", "v1.2/x", "1.", "a/b/c", "a//b", "/a", "a/", "a;b", "a;b=c;d", `a\b`, "a b", " a ", "ü", "注文.１", "Ａ／Ｂ",
		"a?b", "a#b", "50%", "50%.", "100%25", "%", "%%", "a%2Fb", "%zz", "a:b", "..a/b", "C:\\x", "2026-11-26T10:00:00.000Z", "a,b", "…a", "a@b.c", "\u202ea", "🚚.", "1.0+x", "\xff", "x\x00y",
	} {
		if _, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: "https://h/hooks/{orderId}"}, &event.Event{OrderID: id}); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// Two ids, or an id and the text beside it, make a step that none makes alone.
func TestIDsBesideEachOtherMakeNoStep(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		target, id, legacy string
		refused            bool
	}{
		{"https://h/a/{orderId}{legacyOrderId}", "a", "b", false},
		{"https://h/a/{orderId}{legacyOrderId}", "%2", "e%2E", true},
		{"https://h/a/{orderId}{legacyOrderId}", "..%2", "fx", true},
		{"https://h/a/{orderId}%2F{legacyOrderId}", "..%", "x", false},
		{"https://h/a/.{orderId}/x", "b", "", false},
		{"https://h/a/.{orderId}/x", "/admin", "", true},
		{"https://h/a/.{orderId}/x", "%2e", "", true},
		{"https://h/a/{orderId}2Fadmin", "..%", "", true},
		{"https://h/a/{orderId}u002fadmin", "..%", "", true},
		{"https://h/a/{orderId}5c", "x/..%", "", true},
		{"https://h/a/{orderId}2Fadmin", "4711", "", false},
		{"https://h/a/{orderId}2Fadmin", "50%", "", false},
		{"https://h/a/%252{orderId}", "e", "", true},
		{"https://h/a/%252{orderId}", "4", "", false},
		{"https://h/../{orderId}", "a", "", false}, // the record's own affair
		{"https://h/../{orderId}", "..", "", true},
		{"https://h/x-{orderId}", "..", "", true},
		{"https://h/a/b.json/{orderId}", "1", "", false},
	} {
		_, err := renderFor(t, &record.Subscription{ID: "s", TargetURL: tc.target}, &event.Event{OrderID: tc.id, LegacyOrderID: tc.legacy})
		if (err != nil) != tc.refused {
			t.Errorf("%s with %q, %q: %v", tc.target, tc.id, tc.legacy, err)
		}
	}
}

// FuzzPathKeepsItsPrefix cleans a path as servers do: each of them decodes so
// many times, knows so many separators, and then walks.
func FuzzPathKeepsItsPrefix(f *testing.F) {
	for _, id := range []string{"a", "../x", "..;/x", "%2e%2e%2fx", `..\x`, "%252e./x", ".\x00./x", "．．／x", "\xc0\xae./x", "/..", "..?x", "%uff0e./"} {
		f.Add(id)
	}
	templates := []*template{}
	for _, target := range []string{"https://h/hooks/{orderId}", "https://h/hooks/{orderId}/x", "https://h/hooks/a-{orderId}", "https://h/hooks/.{orderId}{orderId}"} {
		tpl, err := parseTemplate(target, "")
		if err != nil {
			f.Fatal(err)
		}
		templates = append(templates, tpl)
	}
	overlongs := strings.NewReplacer("\xc0\xae", ".", "\xc0\xaf", "/", "\xc1\x9c", `\`, "\xe0\x80\xae", ".", "\xe0\x80\xaf", "/", "．", ".", "／", "/", "＼", `\`, "；", ";")
	f.Fuzz(func(t *testing.T, id string) {
		for _, tpl := range templates {
			u, err := tpl.render(&event.Event{OrderID: id})
			if err != nil {
				continue
			}
			sent, _, _ := strings.Cut(u.RequestURI(), "?")
			for decodes := range 3 {
				p := sent
				for range decodes {
					if once, err := url.PathUnescape(p); err == nil {
						p = overlongs.Replace(once)
					}
				}
				slashed := strings.ReplaceAll(p, `\`, "/")
				ended, _, _ := strings.Cut(slashed, "\x00")
				query, _, _ := strings.Cut(slashed, "?")
				for _, way := range []string{p, slashed, withoutParameters(slashed), ended, query, strings.ReplaceAll(slashed, ";", "/")} {
					if clean := path.Clean(way); !strings.HasPrefix(clean, "/hooks") {
						t.Fatalf("%q was sent as %q; decoded %d times it is %q", id, sent, decodes, clean)
					}
				}
			}
		}
	})
}

// withoutParameters cuts path parameters off, as Tomcat does before it walks.
func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
