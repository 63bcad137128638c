package publishers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// serverFiles are what the servers of others need: a directory with a
// certificate of the test authority, and a free port.
type serverFiles struct {
	dir  string
	port string
}

// put writes a file, with DIR and PORT filled in, and returns its name.
func (f serverFiles) put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	text = strings.NewReplacer("DIR", f.dir, "PORT", f.port).Replace(text)
	ok(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

// serve starts a server of others and waits until it accepts connections.
func serve(t *testing.T, program string, arguments func(f serverFiles) []string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	for range 3 { // another test may have taken the port
		if addr := tryServe(t, path, arguments); addr != "" {
			return addr
		}
	}
	t.Fatalf("%s does not start", program)
	return ""
}

// tryServe is serve, or "" if the server has ended.
func tryServe(t *testing.T, path string, arguments func(f serverFiles) []string) string {
	t.Helper()
	// The servers change their user; a directory of t.TempDir is closed to others.
	dir, err := os.MkdirTemp("", "orderbridge-test-")
	ok(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	ok(t, os.Chmod(dir, 0o755))
	port := freePort(t)
	f := serverFiles{dir, port}
	cert := issued(t, testCA(t).Issue)
	writeCertificate(t, f, cert)
	argv := arguments(f)

	cmd := exec.Command(path, argv...)
	var log strings.Builder
	var mu sync.Mutex
	cmd.Stdout = writerFunc(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return log.Write(p) })
	cmd.Stderr = cmd.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ok(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if mu.Lock(); t.Failed() {
			t.Logf("%s said:\n%s", path, log.String())
		}
		mu.Unlock()
	})
	for deadline := time.Now().Add(lab.Patience); ; <-time.After(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			return "127.0.0.1:" + port
		}
		select {
		case <-ended:
			return ""
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen", path)
		}
	}
}

// freePort is none of those that the system gives to whoever asks for any: such
// a one may belong to another test a moment later, which then answers.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10_000 + rand.N(20_000))
		if ln, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func writeCertificate(t *testing.T, f serverFiles, cert tls.Certificate) {
	t.Helper()
	key := privateKey(t, cert)
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	for name, text := range map[string]string{"cert.pem": certPEM, "key.pem": keyPEM, "both.pem": certPEM + keyPEM} {
		ok(t, os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o644)) // as it is: base64 may hold any word
	}
}

func nginx(more string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, "nginx", func(f serverFiles) []string {
			config := f.put(t, "nginx.conf", `
				daemon off; master_process off; pid DIR/nginx.pid; error_log stderr;
				events { worker_connections 100; }
				http {
					access_log off;
					client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
					ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem;
					`+more+`
				}`)
			return []string{"-p", f.dir, "-e", "stderr", "-c", config}
		})
	}
}

func apache(more string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, "apache2", func(f serverFiles) []string {
			config := f.put(t, "apache.conf", `
				ServerRoot DIR
				ServerName localhost
				PidFile DIR/apache.pid
				Mutex posixsem
				ErrorLog /dev/stderr
				LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
				LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
				LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
				LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
				User www-data
				Group www-data
				Listen 127.0.0.1:PORT
				SSLEngine on
				SSLCertificateFile DIR/cert.pem
				SSLCertificateKeyFile DIR/key.pem
				RewriteEngine on
				RewriteRule ^ - [R=204,L]
				`+more)
			return []string{"-X", "-f", config}
		})
	}
}

func haproxy(bind, more string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, "haproxy", func(f serverFiles) []string {
			config := f.put(t, "haproxy.cfg", `
global
	maxconn 100
defaults
	mode http
	timeout client 300s
	timeout connect 60s
	timeout server 300s
	`+more+`
frontend f
	bind 127.0.0.1:PORT ssl crt DIR/both.pem `+bind+`
	http-request return status 200 content-type text/plain string ok
`)
			return []string{"-db", "-f", config}
		})
	}
}

func node(script string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, "node", func(f serverFiles) []string {
			return []string{f.put(t, "server.js", `
				const fs = require('fs'), tls = { key: fs.readFileSync('DIR/key.pem'), cert: fs.readFileSync('DIR/cert.pem') }
				const answer = (req, res) => { req.resume(); req.on('end', () => { res.writeHead(200, { 'Content-Type': 'text/plain' }); res.end('ok') }) }
				`+script)}
		})
	}
}

func python(handler string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, "python3", func(f serverFiles) []string {
			return []string{f.put(t, "server.py", `
import http.server, ssl
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
`+handler+`
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("DIR/cert.pem", "DIR/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
`)}
		})
	}
}

// goServerRole makes a server of this test's own program.
const goServerRole = "serve-by-net-http"

func goServer(behaviour string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return serve(t, os.Args[0], func(f serverFiles) []string { return []string{goServerRole, f.dir, f.port, behaviour} })
	}
}

func goServerMain(dir, port, behaviour string) error {
	s := &http.Server{Addr: "127.0.0.1:" + port, ReadHeaderTimeout: lab.Patience,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "ok")
			if behaviour == "chunked" {
				w.(http.Flusher).Flush()
				_, _ = io.WriteString(w, "and more")
			}
		})}
	switch behaviour {
	case "closing":
		s.SetKeepAlivesEnabled(false)
	case "idle":
		s.IdleTimeout = time.Second
	}
	return s.ListenAndServeTLS(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
}

const (
	keeps  = iota // one connection for each worker carries everything
	parts         // each answer ends its connection
	parted        // some do
)

// TestServersOfOthers: real servers of others get each delivery once, and keep
// their connections where they say so.
func TestServersOfOthers(t *testing.T) {
	t.Parallel()
	const workers, each = 4, 20
	for _, tc := range []struct {
		name  string
		start func(t *testing.T) string
		want  int
	}{
		{"nginx", nginx(`server { listen 127.0.0.1:PORT ssl http2; location / { return 200 "ok"; } }`), keeps},
		{"nginx, 5 requests a connection", nginx(`server { listen 127.0.0.1:PORT ssl; keepalive_requests 5; location / { return 204; } }`), parted},
		{"nginx, no keep-alive", nginx(`server { listen 127.0.0.1:PORT ssl; keepalive_timeout 0; location / { return 200 "ok"; } }`), parts},
		{"apache", apache("KeepAliveTimeout 300\nMaxKeepAliveRequests 0"), keeps},
		{"apache, 5 requests a connection", apache("KeepAliveTimeout 300\nMaxKeepAliveRequests 5"), parted},
		{"haproxy", haproxy("alpn h2,http/1.1", ""), keeps},
		{"haproxy, closing", haproxy("", "option httpclose"), parts},
		{"node", node(`require('https').createServer({ keepAliveTimeout: 300000, ...tls }, answer).listen(PORT, '127.0.0.1')`), keeps},
		{"node, chunked", node(`require('https').createServer({ keepAliveTimeout: 300000, ...tls }, (req, res) => { req.resume(); res.write('o'); res.end('k') }).listen(PORT, '127.0.0.1')`), keeps},
		{"go", goServer(""), keeps},
		{"go, chunked", goServer("chunked"), keeps},
		{"go, closing", goServer("closing"), parts},
		{"python, HTTP/1.0 with keep-alive", python(`
        self.send_header("Content-Length", "2")
        self.send_header("Connection", "keep-alive")
        self.end_headers()
        self.wfile.write(b"ok")
        self.close_connection = False
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
`), keeps},
		{"python, HTTP/1.0", python(`
        self.end_headers()
        self.wfile.write(b"ok")
server = http.server.HTTPServer(("127.0.0.1", PORT), Handler)
`), parts},
		{"python, threads, HTTP/1.1", python(`
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
Handler.protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
`), keeps},
		{"python, HTTP/1.1 without a length", python(`
        self.end_headers()
Handler.protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
`), parts},
		{"python, Transfer-Encoding twice", python(`
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"2\r\nok\r\n0\r\n\r\n")
Handler.protocol_version = "HTTP/1.1"
server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
`), parts},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			target := "https://" + tc.start(t) + "/hook"
			w := newWebhook(t)
			var group sync.WaitGroup
			for range workers {
				group.Go(func() {
					for range each {
						if err := publish(shortly(t), w, delivery(target)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			group.Wait()
			s := w.standard.own.Stats()
			const all = workers * each
			good := map[int]bool{keeps: s.Dialed <= workers, parts: s.Dialed == all && s.Reused == 0, parted: s.Dialed > workers && s.Dialed <= all/5+workers}
			if !good[tc.want] || s.Repeated > 0 {
				t.Errorf("%d requests by %d workers: %+v", all, workers, s)
			}
		})
	}
}

// TestIdleTimeoutsOfOthers: servers end idle connections after a second, and
// requests come just then; none of them fails.
func TestIdleTimeoutsOfOthers(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) string{
		"go":      goServer("idle"),
		"nginx":   nginx(`server { listen 127.0.0.1:PORT ssl; keepalive_timeout 1s; location / { return 200 "ok"; } }`),
		"apache":  apache("KeepAliveTimeout 1"),
		"haproxy": haproxy("", "timeout http-keep-alive 1s"),
		"node":    node(`const s = require('https').createServer(tls, answer); s.keepAliveTimeout = 1000; s.listen(PORT, '127.0.0.1')`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := "https://" + start(t) + "/hook"
			w := newWebhook(t)
			var group sync.WaitGroup
			for i := range 8 {
				group.Go(func() {
					for j := range 4 {
						if err := publish(shortly(t), w, delivery(fmt.Sprintf("%s/%d/%d", target, i, j))); err != nil {
							t.Error(err)
						}
						<-time.After(time.Second + time.Duration(i-4)*5*time.Millisecond) // the moment is what is tested
					}
				})
			}
			group.Wait()
			t.Logf("%+v", w.standard.own.Stats())
		})
	}
}

func privateKey(t *testing.T, cert tls.Certificate) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	ok(t, err)
	return der
}
