package record

import (
	"slices"
	"strings"
	"testing"
)

func TestShownURL(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"https://hooks.example/services/T000/B000/XXXX":                                   "https://hooks.example/services/…/…/…",
		"https://erp.example.com/orders/{orderId}":                                        "https://erp.example.com/orders/{orderId}",
		"https://erp.example.com/api/v2/Orders/":                                          "https://erp.example.com/api/v2/Orders/",
		"https://h/order-events/x1?token=abc&id={orderId}&legacy=<legacyOrderId>&flag&=x": "https://h/order-events/…?token=[redacted]&id={orderId}&legacy=<legacyOrderId>&flag&=[redacted]",
		"https://h/api/order-events/{orderId}":                                            "https://h/api/order-events/{orderId}",
		"https://h/api/tenants/acme_corp/Order-Lines":                                     "https://h/api/tenants/acme_corp/Order-Lines",
		"https://h/api/one-two-three/a-b/-x/abc-/x_y-z/order-4711/abcdefghijklm-no":       "https://h/api/…/…/…/…/…/…/…",
		"https://h/x?c2VjcmV0dG9rZW4=&c2VjcmV0dA==&flag=":                                 "https://h/x?[redacted]&[redacted]&flag=",
		"https://h/x?{orderId}x":                                                          "https://h/x?[redacted]",
		"https://h":                                                                       "https://h",
		"https://h?s3cr3t":                                                                "https://h?[redacted]",
		"https://h/?a=b?c=d":                                                              "https://h/?a=[redacted]",
		"https://h/services/T000/XXXX?":                                                   "https://h/services/…/…?",
		"https://u:p@h/services/T000/XXXX?&":                                              "https://[redacted]@h/services/…/…?&",
		"https://h?":                                                                      "https://h?",
		"https://u:p@h/x":                                                                 "https://[redacted]@h/x",
		"https://webhook.site/0d2ff1a7-e5a5":                                              "https://webhook.site/…",
		"https://h/planted-path/abc%2Fdef#s3cret":                                         "https://h/planted-path/…",
		"no url at all/s3cr3t":                                                            "no url at all/…",
	} {
		got := ShownURL(target)
		if got != want && !(strings.Contains(target, "no url") && !strings.Contains(got, "s3cr3t")) {
			t.Errorf("%s: %s, want %s", target, got, want)
		}
	}
	for target, want := range map[string][]string{
		"https://h/services/T000/a%20b%20c/x?token=ab%2Bcd&k=v&id={orderId}": {"T000", "a%20b%20c", "a b c", "ab%2Bcd", "ab+cd"},
		"https://h/x?s3cr3t&flag":                                {"s3cr3t"},
		"https://h/x?c2VjcmV0dG9rZW4=":                           {"c2VjcmV0dG9rZW4"},
		"https://h/hook-s3cr3t{orderId}.json?sig=T0k3n<orderId>": {"hook-s3cr3t", "T0k3n"},
		"https://h/x;k=s3cr3t?a=1;t=T0k3n":                       {"x;k=s3cr3t", "s3cr3t", "1;t=T0k3n", "T0k3n"},
		"https://h/services/T000#part":                           {"T000"},
	} {
		got := slices.Compact(URLSecrets(target))
		for _, secret := range want {
			if !slices.Contains(got, secret) {
				t.Errorf("%s: %q lacks %q", target, got, secret)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
