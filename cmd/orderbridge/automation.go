package main

import (
	"context"
	"errors"

	"orderbridge/bridge"
	"orderbridge/config"
	"orderbridge/internal/automation"
	"orderbridge/internal/limits"
	"orderbridge/publishers"
)

// automationOptions are those of the file at path, for the record id.
func automationOptions(cfg *config.Config, webhook *publishers.Webhook, path, id string) automation.Options {
	return automation.Options{Path: path, ID: id, SecretsDir: cfg.SecretsDir, Policy: recordPolicy(cfg), Check: webhook.Check}
}

// openFile reads the automation file, if there is one.
func (a *app) openFile(ctx context.Context) (err error) {
	if a.cfg.WebhookFile == "" {
		return nil
	}
	o := automationOptions(a.cfg, a.webhook, a.cfg.WebhookFile, a.cfg.WebhookID)
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
