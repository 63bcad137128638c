package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"orderbridge/internal/lab"
)

func scaleName(records int) string { return fmt.Sprintf("e%d", records) }

// scale keeps a bridge with each number of records.
func (b *bench) scale(ctx context.Context) (err error) {
	var all []*contestant
	defer func() { err = errors.Join(err, b.stopAll(all)) }()
	for _, n := range b.Sizes {
		c := &contestant{load: &load{Name: scaleName(n),
			Title: "orderbridge, 1 match among " + thousands(n) + " records"}, place: place{scaleName(n)}, each: 1,
			requests: b.Requests}
		if err := b.makeStream(ctx, c.place); err != nil {
			return err
		}
		s := scaleSettings{NATS: b.natsURL, Stream: c.place.stream(), Prefix: c.place.prefix(), URL: b.to.URL,
			CAFile: b.caFile, Subject: c.place.subject(), Records: n}
		if n == slices.Min(b.Sizes) {
			s.Profile = b.profile
		}
		var ready scaleReady
		p, err := startRole("scale", s, &ready)
		if err != nil {
			return err
		}
		c.ps = []*lab.Process{p}
		all = append(all, c)
		b.report.Memory = append(b.report.Memory,
			&memory{Records: n, HeapMB: float64(ready.Heap) / 1e6, Start: ready.Took.Seconds()})
		b.say("%s  leads after %.1f s, %.0f MB", c.load.Name, ready.Took.Seconds(), float64(ready.Heap)/1e6)
	}
	return b.inTurn(ctx, all)
}
