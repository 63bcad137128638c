// Package console serves the page where people look: what is in dist, which
// `make console` builds of ui. It is the same for everybody and holds nothing of
// anybody's: all that it shows it asks of the API, whose answers depend on who has
// logged in. So is the page of the API's description.
//
// All its addresses are relative, so that it works behind any prefix of a proxy.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load, run and ask what comes from here, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// file is one file as it is answered.
type file struct {
	kind         string
	body, packed []byte // packed is body by gzip
	tag          string
	forever      bool // its name changes with what it holds
}

// documents are where the pages are.
var documents = map[string]string{"index.html": "/", "docs.html": DocsPath}

var files = load()

// load reads dist. Names of scripts and styles get a digest of what they hold.
func load() map[string]*file {
	names := map[string]string{}
	found := map[string]*file{}
	for _, name := range []string{"console.js", "console.css", "docs.js", "docs.css", "icon.svg", "index.html", "docs.html"} {
		body, err := dist.ReadFile("dist/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		ending := path.Ext(name)
		f := &file{kind: mime.TypeByExtension(ending), forever: ending != ".html"}
		for plain, digested := range names { // only documents name others
			body = bytes.ReplaceAll(body, []byte(`"`+plain+`"`), []byte(`"`+digested+`"`))
		}
		sum := sha256.Sum256(body)
		digest := hex.EncodeToString(sum[:8])
		f.body, f.packed, f.tag = body, pack(body), `"`+digest+`"`
		at := documents[name]
		if f.forever {
			names[name] = strings.TrimSuffix(name, ending) + "-" + digest + ending
			at = "/" + names[name]
		}
		found[at] = f
	}
	return found
}

func pack(body []byte) []byte {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err == nil {
		_, _ = z.Write(body) // a buffer takes all
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// DocsPath is where the page of the API is. The API answers for it, by ServeHTTP.
const DocsPath = "/docs"

// Has tells whether the console answers for a path.
func Has(path string) bool { return files[path] != nil && path != DocsPath }

// ServeHTTP answers for the paths that Has, and for DocsPath.
func ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, h := files[r.URL.Path], w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Vary", "Accept-Encoding")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are possible here", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Cache-Control", "no-cache") // asks each time whether it is the same
	if f.forever {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Set("Content-Type", f.kind)
	h.Set("Etag", f.tag)
	body := f.body
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Set("Etag", strings.TrimSuffix(f.tag, `"`)+`-gzip"`)
		body = f.packed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(part, " ", ""), ";")
		if strings.EqualFold(name, "gzip") && quality != "q=0" {
			return true
		}
	}
	return false
}
