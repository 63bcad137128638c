// Plots: SVG of our own with labelled axes, read by pointer and keyboard.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { Figures, Tally } from "./api";
import { clock, hourAndMinute, lasts, number, perSecond } from "./words";

/** Slot is a stretch of time in a plot. */
export interface Slot extends Tally {
  seconds: number;
}

const spans = [10, 20, 30, 60]; // minutes

/** hour makes slots of the minutes of figures, from shortly before the first that holds anything. */
export function hour({ minutes, until }: Figures): Slot[] {
  const first = minutes.findIndex((m) => m.delivered + m.failed + m.dead);
  const span = first < 0 ? 60 : spans.find((s) => s >= minutes.length - first) ?? minutes.length;
  const slots = minutes.slice(-span).map((m) => ({ ...m, seconds: 60 }));
  const last = slots[slots.length - 1];
  if (last) last.seconds = Math.min(60, Math.max(10, (Date.parse(until) - Date.parse(last.time)) / 1000)); // it is not over yet
  return slots;
}

interface Tick {
  at: number; // 0 to 1
  label: string;
}

/** linear is a scale of rates from 0: its top, and a line at each round step. */
function linear(most: number): { top: number; ticks: Tick[] } {
  const rough = Math.max(most, 0.02) / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((s) => s * power >= rough)! * power;
  const top = Math.max(Math.ceil(most / step - 1e-9), 1) * step;
  return { top, ticks: Array.from({ length: Math.round(top / step) + 1 }, (_, i) => ({ at: (i * step) / top, label: perSecond(i * step) })) };
}

/** decades is a scale of milliseconds by powers of ten. */
function decades(least: number, most: number): { at: (ms: number) => number; ticks: Tick[] } {
  const low = Math.floor(Math.log10(Math.max(least, 0.1)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(most, 0.1)) - 1e-9), low + 1);
  const step = Math.ceil((high - low) / 4);
  const ticks: Tick[] = [];
  for (let d = low; d <= high; d += step) ticks.push({ at: (d - low) / (high - low), label: d < 3 ? lasts(10 ** d) : `${number(10 ** (d - 3))} s` });
  return { at: (ms) => Math.min(Math.max((Math.log10(Math.max(ms, 0.1)) - low) / (high - low), 0), 1), ticks };
}

/** times labels some of the slots, at round times. */
function times(slots: Slot[]): Tick[] {
  const seconds = slots[0]?.seconds === 1;
  const step = seconds ? 15 : [2, 5, 10, 15].find((s) => slots.length / s <= 6) ?? 15;
  return slots.flatMap((s, i) => {
    const n = Math.round(Date.parse(s.time) / (seconds ? 1000 : 60_000));
    const at = i / slots.length;
    return n % step || at < 0.03 || at > 0.97 ? [] : [{ at, label: seconds ? clock(s.time) : hourAndMinute(s.time) }];
  });
}

const width = 600, tall = 100; // of the drawing, which is stretched to its place

function Plot({ name, legend, slots, ticks, tell, children }: {
  name: string; legend: ComponentChildren; slots: Slot[]; ticks: Tick[]; tell: (s: Slot) => string; children: ComponentChildren;
}) {
  const [at, setAt] = useState<number>();
  const last = slots.length - 1;
  const here = at === undefined ? undefined : Math.min(at, last);
  const told = (i: number) => `${slots[i]!.seconds === 1 ? clock(slots[i]!.time) : hourAndMinute(slots[i]!.time)}: ${tell(slots[i]!)}`;
  const point = (e: PointerEvent) => {
    const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
    setAt(Math.min(Math.max(Math.floor(((e.clientX - box.left) / box.width) * slots.length), 0), last));
  };
  const key = (e: KeyboardEvent) => {
    const now = here ?? last;
    const to = { ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1, Home: 0, End: last }[e.key];
    if (e.key === "Escape") setAt(undefined);
    if (to === undefined) return;
    e.preventDefault();
    setAt(Math.min(Math.max(to, 0), last));
  };
  if (last < 0) return null;
  return (
    <figure class="plot">
      <figcaption><b>{name}</b> <span class="key">{legend}</span></figcaption>
      <div class="y" aria-hidden="true">{ticks.map((t) => <span style={{ bottom: `${t.at * 100}%` }}>{t.label}</span>)}</div>
      <div class="area" role="slider" tabIndex={0} aria-label={`${name}, by ${slots[0]!.seconds === 1 ? "second" : "minute"}`}
        aria-valuemin={0} aria-valuemax={last} aria-valuenow={here ?? last} aria-valuetext={told(here ?? last)}
        onPointerMove={point} onPointerDown={point} onPointerLeave={() => setAt(undefined)} onKeyDown={key} onBlur={() => setAt(undefined)}>
        <svg viewBox={`0 0 ${width} ${tall}`} preserveAspectRatio="none" aria-hidden="true">
          {ticks.map((t) => <path class="grid" d={`M0 ${(1 - t.at) * tall}H${width}`} />)}
          {here !== undefined && <rect class="here" x={(here / slots.length) * width} width={width / slots.length} y={0} height={tall} />}
          {children}
        </svg>
        {here !== undefined && <span class={here > last / 2 ? "tip left" : "tip"} style={{ [here > last / 2 ? "right" : "left"]: `${(here > last / 2 ? 1 - here / slots.length : (here + 1) / slots.length) * 100}%` }}>{told(here)}</span>}
      </div>
      <div class="x" aria-hidden="true">{times(slots).map((t) => <span style={{ left: `${t.at * 100}%` }}>{t.label}</span>)}</div>
    </figure>
  );
}

const outcomes = ["delivered", "failed", "dead"] as const;

/** Rates plots how many deliveries ended a second, by outcome. */
export function Rates({ slots }: { slots: Slot[] }) {
  const rate = (s: Slot, k: (typeof outcomes)[number]) => s[k] / s.seconds;
  const { top, ticks } = linear(Math.max(0, ...slots.map((s) => outcomes.reduce((n, k) => n + rate(s, k), 0))));
  const wide = width / slots.length;
  return (
    <Plot name="Deliveries per second" slots={slots} ticks={ticks}
      legend={<><i class="delivered" />delivered <i class="failed" />failed&nbsp;attempts <i class="dead" />dead&nbsp;letters</>}
      tell={(s) => `${perSecond(rate(s, "delivered"))} delivered, ${perSecond(rate(s, "failed"))} failed, ${perSecond(rate(s, "dead"))} dead letters`}>
      {slots.map((s, i) => {
        let y = tall;
        return outcomes.map((k) => {
          const high = (rate(s, k) / top) * tall;
          y -= high;
          return high > 0 && <rect class={k} x={(i + 0.1) * wide} width={wide * 0.8} y={y} height={high} />;
        });
      })}
    </Plot>
  );
}

/** Latency plots how long it took from publication to delivery. */
export function Latency({ slots }: { slots: Slot[] }) {
  const known = slots.flatMap((s) => s.latency ?? []);
  if (!known.length) return null;
  const scale = decades(Math.min(...known.map((l) => l.p50)), Math.max(...known.map((l) => l.p99)));
  const wide = width / slots.length;
  const y = (ms: number) => (1 - scale.at(ms)) * (tall - 2) + 1;
  // One line for each stretch with deliveries.
  const line = (k: "p50" | "p99") => {
    let path = "", on = false;
    slots.forEach((s, i) => {
      const x = (i + 0.5) * wide;
      if (s.latency) path += on ? `L${x} ${y(s.latency[k])}` : `M${x - wide / 2} ${y(s.latency[k])}H${x}`;
      if (s.latency && (i === slots.length - 1 || !slots[i + 1]!.latency)) path += `H${x + wide / 2}`;
      on = !!s.latency;
    });
    return path;
  };
  return (
    <Plot name="End-to-end latency" slots={slots} ticks={scale.ticks}
      legend={<><i class="p50" />p50 <i class="p99" />p99</>}
      tell={(s) => (s.latency ? `p50 ${lasts(s.latency.p50)}, p99 ${lasts(s.latency.p99)}` : "no deliveries")}>
      <path class="p99" d={line("p99")} />
      <path class="p50" d={line("p50")} />
    </Plot>
  );
}
