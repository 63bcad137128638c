package main

import (
	"context"
	"errors"

	"orderbridge/bridge"
	"orderbridge/internal/automation"
	"orderbridge/internal/limits"
	"orderbridge/internal/secrets"
)

// automationOptions are those of the file at path, for the record id. What the
// file names, which is the operator's own, may go to the endpoint that it names
// beside.
func (a *app) automationOptions(path, id string) automation.Options {
	return automation.Options{
		Path: path, ID: id, SecretsDir: a.cfg.SecretsDir, Policy: recordPolicy(a.cfg), Check: a.webhook.Check,
		Grant: func(references []string, endpoint string) {
			a.secrets.Grant(secrets.Grant{References: references, Host: bridge.SecretHost(endpoint)})
		},
		Seal: func(record []byte) ([]byte, error) { return a.secrets.SealRecord(id, record) },
		Open: func(record []byte) []byte { return a.secrets.OpenRecord(id, record) },
	}
}

// openFile reads the automation file, if there is one.
func (a *app) openFile(ctx context.Context) (err error) {
	if a.cfg.WebhookFile == "" {
		return nil
	}
	o := a.automationOptions(a.cfg.WebhookFile, a.cfg.WebhookID)
	o.Logger = a.log
	o.Changed = func() {
		b := a.bridge.Load()
		if b == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
		defer cancel()
		if err := b.Reread(ctx, a.cfg.WebhookID); err != nil && !errors.Is(err, context.Canceled) {
			a.log.Warn("automation file: the status of its subscription is not up to date", "error", err)
		}
	}
	a.file, err = automation.Open(o)
	return err
}

// startFile brings the record of the automation file up to date before anything
// is delivered.
func (a *app) startFile(ctx context.Context) error {
	if a.file == nil {
		return nil
	}
	a.waiting("writing the record of the automation file")
	return a.file.Start(ctx, a.records)
}

// fileProblem is what the status of the automation file's subscription says
// when the file as it is now is not in force.
func (a *app) fileProblem(id string) bridge.Problems {
	if a.file == nil || id != a.cfg.WebhookID || a.file.Problem() == "" {
		return nil
	}
	return bridge.Problems{{Message: a.file.Problem(), Warning: true}}
}
