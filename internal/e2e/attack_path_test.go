package e2e

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// realServer starts a web server of others on a free port of 127.0.0.1. PORT
// and DIR stand in its configuration for the port and a directory of its own.
func realServer(t *testing.T, program, config string, arguments ...string) (address, dir string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	// Its workers may be another user, to whom a directory of t.TempDir is closed.
	if dir, err = os.MkdirTemp("", "orderbridge-attack-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	address = freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	fill := strings.NewReplacer("DIR", dir, "PORT", port, "CONFIG", filepath.Join(dir, "config"))
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(fill.Replace(config)), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range arguments {
		arguments[i] = fill.Replace(arguments[i])
	}
	p, err := lab.Start(lab.Command{Path: path, Args: arguments, SysProc: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
		<-p.Ended()
		if t.Failed() {
			t.Logf("%s said:\n%s", program, p.Output())
		}
	})
	await(t, 20*time.Second, program+" listens", func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return address, dir
}

const nginxOfTwo = `daemon off; master_process off; pid DIR/pid; error_log stderr;
events { worker_connections 100; }
http {
	client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	access_log DIR/all.log;
	server {
		listen 127.0.0.1:PORT;
		merge_slashes on;
		location /hooks/ { return 200 "hook"; }
		location / { access_log DIR/admin.log; return 200 "admin"; }
	}
}`

// Two of them: a gateway that passes a decoded path on to another nginx.
const nginxTwice = `daemon off; master_process off; pid DIR/pid; error_log stderr;
events { worker_connections 100; }
http {
	client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	access_log DIR/all.log;
	server {
		listen 127.0.0.1:PORT;
		location / { proxy_pass http://unix:DIR/inner.sock:$uri; }
	}
	server {
		listen unix:DIR/inner.sock;
		location /hooks/ { return 200 "hook"; }
		location / { access_log DIR/admin.log; return 200 "admin"; }
	}
}`

const apacheOfTwo = `ServerRoot DIR
ServerName localhost
PidFile DIR/pid
Mutex posixsem
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
User www-data
Group www-data
Listen 127.0.0.1:PORT
AllowEncodedSlashes On
LogFormat "%r %U" plain
CustomLog DIR/all.log plain
CustomLog DIR/admin.log plain env=admin
RewriteEngine on
RewriteRule ^/hooks/ - [R=200,L]
RewriteRule ^ - [E=admin:1,R=200,L]
`

// haproxy decodes, cleans and routes, as far as it is told to.
const haproxyOfTwo = `global
	maxconn 100
	expose-experimental-directives
defaults
	mode http
	timeout client 10s
	timeout connect 1s
	timeout server 10s
frontend f
	bind 127.0.0.1:PORT
	http-request set-path %[path,url_dec]
	http-request normalize-uri path-merge-slashes
	http-request normalize-uri path-strip-dot
	http-request normalize-uri path-strip-dotdot full
	http-request return status 200 content-type text/plain string hook if { path_beg /hooks/ }
	http-request return status 418 content-type text/plain string admin
`

// A publisher chooses order ids that servers take for a way out of the path.
// None reaches another path than the record's; each is a dead letter that says
// why, and ids that are none pass.
func TestAttackPathOutOfTheHook(t *testing.T) {
	attack(t)
	hostile := []string{
		"../admin/x", "..%2fadmin", "%2e%2e/admin", "%2e%2e%2fadmin", "%252e%252e%252fadmin", `..\admin`, "..%5cadmin", "..;/admin", "..;x=1/admin",
		"\u2025/admin", "．．/admin", "．．／admin", "..%c0%afadmin", "%c0%ae%c0%ae/admin", "..", ".", "../", "a/../../admin", "..%00/admin", "../admin?x", "..?", "..#",
		".. /admin", "%2e%2e%20/admin", "../../../../admin", "%u002e%u002e/admin", "/../admin", "//../admin", "./../admin",
	}
	good := []string{"4711", "a/b", "PO 1/2", "Bestellung ü", "a?b#c", "50%", "a//b", "...", "v1.2", "/a", "a;b"}
	for name, tc := range map[string]struct {
		program, config string
		arguments       []string
	}{
		"nginx":   {"nginx", nginxOfTwo, []string{"-p", "DIR", "-e", "stderr", "-c", "CONFIG"}},
		"two":     {"nginx", nginxTwice, []string{"-p", "DIR", "-e", "stderr", "-c", "CONFIG"}},
		"apache":  {"apache2", apacheOfTwo, []string{"-X", "-f", "CONFIG"}},
		"haproxy": {"haproxy", haproxyOfTwo, []string{"-db", "-f", "CONFIG"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, dir := realServer(t, tc.program, tc.config, tc.arguments...)
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			serving(t, bus.URL(), "ORDERBRIDGE_ALLOW_HTTP=true")
			for _, method := range []string{"GET", "PUT"} {
				subscribe(t, js, method, `{"targetURL":"http://`+address+`/hooks/{orderId}","method":"`+method+`","ordering":"none",`+
					`"auth":{"type":"basic","username":"u","password":"the password"},"retry":{"schedule":["PT1H"]}}`)
			}
			for i, id := range append(append([]string{}, hostile...), good...) {
				m := change("x", i)
				body, err := json.Marshal(map[string]any{"orderId": id, "n": i})
				if err != nil {
					t.Fatal(err)
				}
				m.Data = body
				publishMsg(t, js, m)
			}
			var out string
			await(t, 30*time.Second, "each hostile id is a dead letter", func() bool {
				out, _ = command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
				return strings.Count(out, "cannot stand in a path") >= 2*len(hostile)
			})
			if n := strings.Count(out, "cannot stand in a path"); n != 2*len(hostile) {
				t.Errorf("%d dead letters for %d hostile ids", n, len(hostile))
			}
			await(t, 30*time.Second, "nothing is owed", func() bool {
				if name == "two" { // its gateway passes blanks and question marks on as they are
					return true
				}
				owed, _ := command(t, bus.URL(), "", "owed", "list", "-o", "json")
				return !strings.Contains(owed, `"order"`)
			})
			if log, _ := os.ReadFile(filepath.Join(dir, "admin.log")); len(log) > 0 {
				t.Errorf("reached outside of /hooks/:\n%s", log)
			}
			if all, err := os.ReadFile(filepath.Join(dir, "all.log")); err == nil {
				if n := strings.Count(string(all), "\n"); n < 2*len(good) && name != "two" {
					t.Errorf("%d requests came, want %d:\n%s", n, 2*len(good), all)
				}
			}
			if out, _ := command(t, bus.URL(), "", "dead-letters", "list"); strings.Count(out, "418") > 0 {
				t.Errorf("answers from outside of /hooks/:\n%s", out)
			}
		})
	}
}
