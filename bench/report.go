package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what is printed, and with -json written.
type report struct {
	Started  time.Time  `json:"started"`
	Took     float64    `json:"tookSeconds"`
	Machine  machine    `json:"machine"`
	Settings settings   `json:"settings"`
	Loads    []*load    `json:"loads"`
	Latency  []*latency `json:"latency,omitempty"`
	TakeOver []*latency `json:"takeOver,omitempty"`
	Memory   []*memory  `json:"memory,omitempty"`
	Ratios   []ratio    `json:"ratios"`
	Left     []string   `json:"leftOut,omitempty"` // what this machine does not let us measure, and why
}

type machine struct {
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	Load string `json:"loadBefore"` // of the last 1, 5 and 15 minutes
	Then string `json:"loadAfter"`
}

// load is what was measured at full speed, one value a round.
type load struct {
	Name  string    `json:"name"`
	Title string    `json:"title"`
	Rate  []float64 `json:"requestsPerSecond"`
	// CPU seconds per 1,000 requests, of each process apart.
	Self []float64 `json:"cpuSelf"` // the client, the loop or orderbridge
	NATS []float64 `json:"cpuNATS,omitempty"`
	Sink []float64 `json:"cpuSink"`
	// Connections that were opened, the warming up included.
	Connections int `json:"connections"`
}

// latency is what was measured at a given pace, one value a round.
type latency struct {
	Name string    `json:"name"`
	P50  []float64 `json:"p50ms"`
	P99  []float64 `json:"p99ms"`
}

// memory is what a bridge takes that holds so many records.
type memory struct {
	Records   int     `json:"records"`
	HeapMB    float64 `json:"heapMB"`
	PerRecord float64 `json:"bytesPerRecord,omitempty"` // beyond the bridge with the fewest
	Start     float64 `json:"startSeconds"`
}

// ratio is what counts: the median of the ratios of each round.
type ratio struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	Aim   string  `json:"aim"`
	Met   bool    `json:"met"`
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// newRatio compares two series round by round. low and high are the bounds of
// the aim, 0 for none.
func newRatio(name string, a, b []float64, low, high float64) ratio {
	rounds := make([]float64, 0, len(a))
	for i, x := range a {
		if i < len(b) && b[i] > 0 {
			rounds = append(rounds, x/b[i])
		}
	}
	r := ratio{Name: name, Value: median(rounds)}
	if len(rounds) > 0 {
		r.Low, r.High = slices.Min(rounds), slices.Max(rounds)
	}
	r.Met = r.Value >= low && (high == 0 || r.Value <= high)
	var aim []string
	if low > 0 {
		aim = append(aim, fmt.Sprintf(">= %.2g", low))
	}
	if high > 0 {
		aim = append(aim, fmt.Sprintf("<= %.3g", high))
	}
	r.Aim = strings.Join(aim, ", ")
	return r
}

func (r *report) load(name string) *load {
	for _, l := range r.Loads {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// compare fills Ratios from what was measured, and leaves out what was not.
func (r *report) compare() {
	r.Loads = slices.DeleteFunc(r.Loads, func(l *load) bool { return len(l.Rate) == 0 })
	r.Latency = slices.DeleteFunc(r.Latency, func(l *latency) bool { return len(l.P50) == 0 })
	r.TakeOver = slices.DeleteFunc(r.TakeOver, func(l *latency) bool { return len(l.P99) == 0 })
	rates := func(name, of, over string, low, high float64) {
		if a, b := r.load(of), r.load(over); a != nil && b != nil {
			r.Ratios = append(r.Ratios, newRatio(name, a.Rate, b.Rate, low, high))
		}
	}
	rates("(c)/(b) throughput of orderbridge and naive loop", "c", "b", 1.1, 0)
	rates("(c256)/(c) throughput with 256 and with 64 in flight", "c256", "c", 1, 0)
	rates("(d)/(a) throughput of orderbridge and HTTP limit", "d", "a", 0.85, 0)
	rates("(d2)/(a2) the same with 1,600 connections", "d2", "a2", 0, 0)
	rates("(g) throughput of 2 bridges and of 1", "g2", "g1", 1.9, 0)
	rates("(g) throughput of 4 bridges and of 1", "g4", "g1", 3.5, 0)
	for _, peer := range []string{"p_watermill", "p_benthos"} {
		rates("("+peer+")/(b) throughput of the peer and naive loop", peer, "b", 0, 0)
		if a, b := r.load(peer), r.load("b"); a != nil && b != nil {
			r.Ratios = append(r.Ratios, newRatio("("+peer+")/(b) CPU of the peer and loop", a.Self, b.Self, 0, 0))
		}
	}
	if a, b := r.load("c"), r.load("b"); a != nil && b != nil {
		r.Ratios = append(r.Ratios, newRatio("(c)/(b) CPU of orderbridge and loop", a.Self, b.Self, 0, 1),
			newRatio("(c)/(b) CPU of the NATS server", a.NATS, b.NATS, 0, 0))
	}
	for _, l := range r.Loads {
		if former := r.load(l.Name + "_former"); former != nil {
			r.Ratios = append(r.Ratios, newRatio("("+l.Name+") throughput, now and before", l.Rate, former.Rate, 0, 0),
				newRatio("("+l.Name+") CPU, now and before", l.Self, former.Self, 0, 0))
		}
	}
	slices.SortFunc(r.Memory, func(a, b *memory) int { return cmp.Compare(a.Records, b.Records) })
	for i, m := range r.Memory {
		if i == 0 {
			continue
		}
		few := r.Memory[0]
		rates(fmt.Sprintf("(e) throughput at %s records and at %s", thousands(m.Records), thousands(few.Records)),
			scaleName(m.Records), scaleName(few.Records), 0.9, 0)
		m.PerRecord = (m.HeapMB - few.HeapMB) * 1e6 / float64(m.Records-few.Records)
		if m.Records >= 10_000 {
			r.Ratios = append(r.Ratios,
				newRatio(fmt.Sprintf("(e) KB of memory for each of %s records", thousands(m.Records)),
					[]float64{m.PerRecord}, []float64{1000}, 0, 1.5))
		}
	}
	r.compareLatency()
}

// compareLatency sets each way of orderbridge beside the loop that does the same.
func (r *report) compareLatency() {
	for _, pair := range []struct{ of, over string }{
		{latencyBridge, latencyNaive}, {latencyMany, latencyNaive}, {latencyGet, latencyGetLoop},
		{latencyBridge + afterRest, latencyNaive + afterRest}, {latencyMany + afterRest, latencyNaive + afterRest},
		{latencyFormer, latencyNaive}, {latencyFormer + afterRest, latencyNaive + afterRest},
	} {
		a, b := r.latency(pair.of), r.latency(pair.over)
		if a == nil || b == nil {
			continue
		}
		r.Ratios = append(r.Ratios, newRatio("(f) p50 of "+pair.of+", to the loop", a.P50, b.P50, 0, 1),
			newRatio("(f) p99 of "+pair.of+", to the loop", a.P99, b.P99, 0, 1))
	}
}

func (r *report) latency(name string) *latency {
	for _, l := range r.Latency {
		if l.Name == name {
			return l
		}
	}
	return nil
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\n%d CPUs, %s, load before %s, after %s; %d rounds of %s requests, %d B; took %.0f s\n\n",
		r.Machine.CPUs, r.Machine.Go, r.Machine.Load, r.Machine.Then, r.Settings.Rounds, thousands(r.Settings.Requests),
		bodySize, r.Took)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\t\trequests/s\t(from - to)\tCPU s per 1,000: self\tNATS\tsink\tconnections")
	for _, l := range r.Loads {
		fmt.Fprintf(t, "%s\t%s\t%s\t(%s - %s)\t%s\t%s\t%s\t%d\n", l.Name, l.Title, thousands(int(median(l.Rate))),
			thousands(int(slices.Min(l.Rate))), thousands(int(slices.Max(l.Rate))), seconds(l.Self), seconds(l.NATS),
			seconds(l.Sink), l.Connections)
	}
	_ = t.Flush()
	if len(r.Latency) > 0 {
		fmt.Fprintln(t, "\n\tlatency, ms\tp50\tp99\t(from - to)")
		for _, l := range r.Latency {
			fmt.Fprintf(t, "f\t%s\t%.2f\t%.2f\t(%.2f - %.2f)\n", l.Name, median(l.P50), median(l.P99),
				slices.Min(l.P99), slices.Max(l.P99))
		}
		_ = t.Flush()
	}
	for _, l := range r.TakeOver {
		fmt.Fprintf(w, "f  %s: %.0f ms\n", l.Name, median(l.P99))
	}
	if len(r.Memory) > 0 {
		fmt.Fprintln(t, "\n\trecords\theap, MB\tbytes each\tstart, s")
		for _, m := range r.Memory {
			fmt.Fprintf(t, "e\t%s\t%.1f\t%.0f\t%.1f\n", thousands(m.Records), m.HeapMB, m.PerRecord, m.Start)
		}
		_ = t.Flush()
	}
	fmt.Fprintln(t, "\nratio (median of the rounds)\t\t(from - to)\taim\t")
	for _, x := range r.Ratios {
		verdict := ""
		if x.Aim != "" {
			verdict = map[bool]string{true: "met", false: "MISSED"}[x.Met]
		}
		fmt.Fprintf(t, "%s\t%.2f\t(%.2f - %.2f)\t%s\t%s\n", x.Name, x.Value, x.Low, x.High, x.Aim, verdict)
	}
	_ = t.Flush()
	for _, why := range r.Left {
		fmt.Fprintln(w, why)
	}
}

func (r *report) write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}

func seconds(values []float64) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", median(values))
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
