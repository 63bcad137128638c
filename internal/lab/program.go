package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Build builds the program from the sources into a file or directory, with flags
// of go build.
func Build(ctx context.Context, path string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "orderbridge/cmd/orderbridge")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build orderbridge: %w\n%s", err, out)
	}
	return nil
}

// Executable is the path of the program: that of a built one, or of one that is
// built into dir.
func Executable(ctx context.Context, built, dir string) (string, error) {
	if built != "" {
		return filepath.Abs(built)
	}
	path := filepath.Join(dir, "orderbridge")
	return path, Build(ctx, path)
}

// Environment is that of a program that trusts the endpoints of this process,
// whose authority it writes into the file roots: what this process has, without
// settings of the program, and more.
func Environment(roots string, more ...string) ([]string, error) {
	if err := os.WriteFile(roots, CA().PEM(), 0o600); err != nil {
		return nil, fmt.Errorf("write the authority: %w", err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ORDERBRIDGE_") })
	env = append(env, "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0", "ORDERBRIDGE_TRUST_ROOTS="+roots,
		"ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8", "ORDERBRIDGE_SHUTDOWN_TIMEOUT=60s") // a slow disk takes long to confirm
	return append(env, more...), nil
}

// Program is `orderbridge serve` as a process of its own.
type Program struct{ *Process }

// Serve starts the program; the command's arguments are those of serve.
func Serve(c Command) (*Program, error) {
	c.Args = append([]string{"serve"}, c.Args...)
	p, err := Start(c)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// HTTP is host:port of the program's HTTP server, once its log tells it.
func (p *Program) HTTP(ctx context.Context) (string, error) { return p.Said(ctx, `http=(\S+)`) }

// Leader is the role of the replica that delivers.
const Leader = "leader"

// Readiness is what /readyz answers.
type Readiness struct {
	Ready   bool     `json:"ready"`
	Role    string   `json:"role"` // Leader or standby
	Reasons []string `json:"reasons"`
	Shards  struct { // where there are several
		Of    int   `json:"of"`
		Leads []int `json:"leads"`
	} `json:"shards"`
}

// Readyz asks for the readiness; the status is 0 if there was no answer.
func (p *Program) Readyz(ctx context.Context) (r Readiness, status int, err error) {
	resp, err := p.get(ctx, "/readyz")
	if err != nil {
		return r, 0, err
	}
	defer resp.Body.Close()
	return r, resp.StatusCode, json.NewDecoder(resp.Body).Decode(&r)
}

// Leads waits until the program leads and is ready.
func (p *Program) Leads(ctx context.Context) error {
	return Until(ctx, p.Name+" leads", func() bool {
		r, status, err := p.Readyz(ctx)
		return err == nil && status == http.StatusOK && r.Role == Leader
	})
}

// Metrics are the values of /metrics by name, labels included.
func (p *Program) Metrics(ctx context.Context) (map[string]float64, error) {
	resp, err := p.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20))
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok {
			if x, err := strconv.ParseFloat(value, 64); err == nil {
				values[name] = x
			}
		}
	}
	return values, lines.Err()
}

func (p *Program) get(ctx context.Context, path string) (*http.Response, error) {
	address, err := p.HTTP(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}
