package http1

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// sentByNetHTTP are the bytes that net/http sends.
func sentByNetHTTP(t *testing.T, u *url.URL, r *Request) string {
	t.Helper()
	sent := make(chan string, 1)
	transport := &http.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		go func() {
			defer there.Close()
			var all bytes.Buffer
			if got, err := http.ReadRequest(bufio.NewReader(io.TeeReader(there, &all))); err == nil {
				_, _ = io.Copy(io.Discard, got.Body)
			}
			sent <- all.String()
			_, _ = io.WriteString(there, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		}()
		return here, nil
	}}
	req := (&http.Request{Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}}).WithContext(shortly(t))
	for _, f := range r.Fields {
		req.Header[f.Name] = append(req.Header[f.Name], f.Value)
	}
	if r.Body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.Body)), int64(len(r.Body))
		if len(r.Body) == 0 {
			req.Body = http.NoBody
		}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	transport.CloseIdleConnections()
	return <-sent
}

// TestSameBytesAsNetHTTP: firewalls and recorded tests of receivers see no
// other request than before.
func TestSameBytesAsNetHTTP(t *testing.T) {
	t.Parallel()
	for _, target := range []string{
		"http://erp.example.com", "http://ERP.example.com:80/a?b=c", "http://erp.example.com:8080/orders/4711#part", "http://erp.example.com./",
		"http://erp.example.com/%7Ea/b%2Fc/%C3%BC?q=ü&x=a%20b", "http://erp.example.com/a//b/../c/?", "http://bücher.example/", "http://[::1]:8080/x", "http://[fe80::1%25eth0]/x",
		"http://erp.example.com/?a=1;b=2", "http://erp.example.com?x", "http://user@erp.example.com/",
	} {
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		for method, body := range map[string][]byte{"POST": []byte("{}"), "PUT": []byte("hello"), "GET": nil, "HEAD": nil} {
			authorization := "Bearer ü"
			if u.User != nil {
				authorization = "Basic x" // net/http would make one of the URL
			}
			r := requestTo(u, method, body, Field{"Accept", " a "}, Field{"Accept", "b"}, Field{"Authorization", authorization},
				Field{"Content-Type", "application/json"}, Field{"User-Agent", "orderbridge/test"}, Field{"X-Empty", ""}, Field{"X-Order-Id", "4711"})
			got, err := r.append(nil)
			if err != nil {
				t.Errorf("%s %s: %v", method, target, err)
				continue
			}
			if want := sentByNetHTTP(t, u, r); string(got) != want {
				t.Errorf("%s %s\nours:\n%s\nnet/http:\n%s", method, target, got, want)
			}
		}
	}
	there := &url.URL{Scheme: "http", Host: "a.example"}
	empty := requestTo(there, "POST", []byte{}, Field{"User-Agent", "x"})
	got, err := empty.append(nil)
	if want := sentByNetHTTP(t, there, empty); err != nil || string(got) != want {
		t.Errorf("an empty body\nours: %s (%v)\nnet/http: %s", got, err, want)
	}
}

// FuzzRequest: whatever is in it, a request that is written is one request, with
// the values that it was given.
func FuzzRequest(f *testing.F) {
	f.Add("/a?b=c", "X-Id", "value", []byte("{}"))
	f.Add("/%0d%0aX:%20y", "X-Id", "a\r\nX: y", []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add("/ HTTP/1.1\r\nX: y", "Content-Length", "0", []byte(""))
	f.Add("/ü", "X:", "\x00", []byte("0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, target, name, value string, body []byte) {
		u, err := url.Parse("https://erp.example.com" + target)
		if err != nil || u.Host != "erp.example.com" {
			return
		}
		r := requestTo(u, "POST", body, Field{"User-Agent", "test"}, Field{http.CanonicalHeaderKey(name), value})
		r.Target = target // rawer than any URL
		sent, err := r.append(nil)
		if err != nil {
			return
		}
		reader := bufio.NewReader(bytes.NewReader(sent))
		got, err := http.ReadRequest(reader)
		if err != nil {
			if strings.Contains(err.Error(), "parse") { // a target that url reads in one way only
				return
			}
			t.Fatalf("%v in %q", err, sent)
		}
		gotBody, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(gotBody, body) {
			t.Errorf("body %q, %v, want %q", gotBody, err, body)
		}
		if rest, _ := io.ReadAll(reader); len(rest) > 0 {
			t.Errorf("%q follows in %q", rest, sent)
		}
		if got.Host != "erp.example.com" || got.Method != "POST" {
			t.Errorf("%s %s", got.Method, got.Host)
		}
		want := strings.Trim(value, " \t")
		if key := http.CanonicalHeaderKey(name); got.Header.Get(key) != want {
			t.Errorf("%s: %q, want %q, in %q", key, got.Header.Get(key), want, sent)
		}
		if len(got.Header) > 3 {
			t.Errorf("%d fields in %q", len(got.Header), sent)
		}
	})
}
