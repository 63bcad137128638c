package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"orderbridge/bridge/record"
	"orderbridge/config"
	"orderbridge/internal/client"
	"orderbridge/internal/limits"
	"orderbridge/internal/telemetry"
)

// The commands over the management API: whoever has a token of it needs no account
// on the bus.

const (
	serverFlag    = "server"
	tokenFileFlag = "token-file"
	serverCAFlag  = "server-ca"
)

func registerServer(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String(serverFlag, "", "`URL` of the management API to ask instead of the bus (ORDERBRIDGE_SERVER)")
	flags.String(tokenFileFlag, "", "`file` that holds its token (ORDERBRIDGE_TOKEN_FILE)")
	flags.String(serverCAFlag, "", "PEM `file` of the authorities that its certificate is verified against (ORDERBRIDGE_SERVER_CA)")
}

// applyServer puts what the flags say in place of the settings.
func applyServer(cmd *cobra.Command, cfg *config.Config) error {
	for name, setting := range map[string]*string{serverFlag: &cfg.Server, tokenFileFlag: &cfg.TokenFile,
		serverCAFlag: &cfg.ServerCA} {
		if flag := cmd.Flags().Lookup(name); flag != nil && flag.Changed {
			*setting = flag.Value.String()
		}
	}
	for _, name := range []string{tokenFileFlag, serverCAFlag} {
		if cfg.Server == "" && cmd.Flags().Changed(name) {
			return usagef("--%s says how to ask the management API: give its --server (ORDERBRIDGE_SERVER) as well", name)
		}
	}
	if flag := cmd.Flags().Lookup(contextFlag); cfg.Server != "" && flag != nil && flag.Changed {
		return usagef("--context says how to reach the bus, --server to ask the management API: give one of them")
	}
	return nil
}

// openServer makes a session over the API; nothing is asked yet.
func openServer(cfg *config.Config, log *slog.Logger) (*session, error) {
	if cfg.TokenFile == "" {
		return nil, usagef("--server wants --token-file: the file that holds the token (or ORDERBRIDGE_TOKEN_FILE)")
	}
	token, err := readTokenFile(cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{URL: cfg.Server, Token: token, CAFile: cfg.ServerCA,
		Version: telemetry.Version().Version})
	if err != nil {
		return nil, usagef("--server: %w", err)
	}
	if u, err := url.Parse(cfg.Server); err == nil && u.Scheme == "http" {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			log.Warn("the token is sent to the server without TLS; give an https URL", "server", u.Host)
		}
	}
	return &session{cfg: cfg, log: log, names: storeOptions(cfg, log).Names(), catalog: c}, nil
}

// readTokenFile reads the first line of a file.
func readTokenFile(path string) (record.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limits.ClientTokenBytes))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	line, _, _ := bytes.Cut(bytes.TrimSpace(data), []byte("\n"))
	token := string(bytes.TrimSpace(line))
	if token == "" || bytes.ContainsAny(line, " \t\r\x00") {
		return "", errors.New("read the token: " + path + " holds no token: it is one word in the first line")
	}
	return record.Secret(token), nil
}
