import { useEffect, useState } from "preact/hooks";
import type { AttemptPage, Debt, Figures, Leaders, Overview as Bridge, Page, Verdict } from "../api";
import { now } from "../clock";
import type { PageProps } from "../console";
import { judge, type Some } from "../judgement";
import { useLately } from "../lately";
import { AsOf, AttemptList, Empty, Failure, link, Live, Loaded, oldest, Section, State, Table, useNow, When } from "../parts";
import { hour, Latency, Rates, type Slot } from "../plots";
import { useAsk, useSoon, useStatuses, useTitle, type Asked } from "../use";
import { ago, count, lasts, number, percent, perSecond } from "../words";
import { Bus, LeaderTable } from "./bridge";

// What asks for somebody, the worst first.
const troubled = ["invalid", "suspended", "retrying", "reading", "paused"];
const shown = 20; // of each state
const rows = 6; // so that the plots are seen without scrolling
const meaning: Record<string, string> = {
  retrying: "some orders wait for another attempt; the others are delivered",
  reading: "catches up with the stream",
  paused: "nothing is sent until somebody resumes it",
};

/** Overview says whether partners get their orders. */
export function Overview({ session }: PageProps) {
  useTitle("Overview");
  useNow(10_000);
  const operator = session.role === "operator";
  const all = useAsk<Page<Verdict>>("api/v1/statuses?limit=1", 10_000);
  const active = useAsk<Page<Verdict>>("api/v1/statuses?state=active&limit=1", 10_000);
  const states = troubled.map((s) => useAsk<Page<Verdict>>(`api/v1/statuses?state=${s}&limit=${shown}`, 10_000));
  useStatuses(useSoon(() => [all, active, ...states].forEach((s) => s.asking || s.again())));
  const figures = useAsk<Figures>("api/v1/figures", 10_000);
  const owed = useAsk<Page<Debt>>("api/v1/owed?limit=500", 10_000);
  const leaders = useAsk<Leaders>("api/v1/leaders", 2_000);
  const bridge = useAsk<Bridge>(operator ? "api/v1/overview" : null, 10_000);
  const unled = leaders.value && leaders.value.leaderless + leaders.value.takingOver; // shards whose debts nobody counts
  useEffect(() => { if (unled !== undefined) bridge.again(); }, [unled]); // its table says the same as the sentence
  const { lately, slots, now: rate, live } = useLately();
  const before = useAsk<AttemptPage>("api/v1/attempts?limit=15", live === "full" ? 10_000 : 0);
  const newest = [...lately, ...(before.value?.items ?? []).filter((a) => !lately.some((b) => b.entry === a.entry))]
    .sort((a, b) => b.entry - a.entry).slice(0, 15);
  return (
    <>
      <h1>Overview</h1>
      <Judgement all={all} active={active} states={states} leaders={leaders} owed={owed} />
      <AsOf of={owed} />
      <Tiles figures={figures} owed={owed.value} unled={!!unled} />
      <Section title="Needs attention">
        <Trouble states={states} any={!!all.value?.items.length} />
      </Section>
      <Deliveries figures={figures} slots={slots}
        live={<Live of={all.failure ? "lost" : live} text={rate && `live: ${rate.more ? "more than " : ""}${perSecond(rate.n)}`} />} />
      <Section title="Owed: orders that wait for delivery">
        <Loaded of={owed}>{(o) => <Owed of={o} unled={!!unled} />}</Loaded>
      </Section>
      {operator && <Section title="Bridge and bus"><Loaded of={bridge}>{(b) => <><Bus of={b} /><LeaderTable of={b} /></>}</Loaded></Section>}
      <Section title="Latest attempts">
        {newest.length ? <AttemptList items={newest} /> : <Empty>None yet. Attempts appear here as they are made. To publish an event: <code>orderbridge publish FILE</code></Empty>}
      </Section>
    </>
  );
}

interface Knowledge {
  all: Asked<Page<Verdict>>;
  active: Asked<Page<Verdict>>;
  states: Asked<Page<Verdict>>[]; // of those troubled
  leaders: Asked<Leaders>;
  owed: Asked<Page<Debt>>;
}

/** Judgement is the whole page in one sentence. */
function Judgement({ all, active, states, leaders, owed }: Knowledge) {
  useNow(1_000);
  const asked = [leaders, all, active, ...states];
  const failed = asked.find((s) => s.failure);
  if (failed) return <Failure of={failed.failure!} again={() => asked.forEach((s) => s.again())} />;
  const known = asked.every((s) => s.value);
  const some = (s?: Asked<Page<Verdict>>): Some => ({ n: s?.value?.items.length ?? 0, more: !!s?.value?.next });
  const [invalid, suspended, retrying, reading, paused] = states.map(some) as [Some, Some, Some, Some, Some];
  const l = leaders.value;
  const { level, says, beside } = judge({
    unheard: leaders.at ? now() - Date.parse(leaders.at) : 0,
    leaders: known && l ? { ...l, silent: l.since && l.time ? Date.parse(l.time) - Date.parse(l.since) : undefined } : undefined,
    any: !!all.value?.items.length, of: { invalid, suspended, retrying, reading, paused, active: some(active) },
    owes: owed.value && !owed.failure && !owed.value.next ? !!owed.value.items.length : undefined,
  });
  return <p class={`verdict ${level}`}><span role="status">{says}</span> {beside}</p>;
}

const spread = (s: { p50: number; p99: number }) => (s.p50 || s.p99 ? [s.p50, s.p99].map((ms) => lasts(ms).replace(" ", "\u00a0")).join(" / ") : "–");

function Tiles({ figures: { value: f, failure: failed }, owed, unled }: { figures: Asked<Figures>; owed?: Page<Debt>; unled: boolean }) {
  const about = f?.estimated ? "≈\u00a0" : "";
  const ended = f ? f.outcomes.delivered + f.outcomes.failed : 0;
  const lanes = owed?.items.filter((d) => d.lane) ?? [];
  const first = owed && oldest(owed.items);
  if (!f && !failed) return null;
  return (
    <ul class="tiles">
      {f && <>
        <li>Delivered, last hour <b>{about}{number(f.outcomes.delivered)}</b> {f.estimated ? `estimated from ${number(f.looked)} log entries` : ended ? `${percent(f.outcomes.delivered / ended)} of attempts` : ""}</li>
        <li>Failed attempts <b>{about}{number(f.outcomes.failed)}</b> <a href="#/dead-letters">{about}{count(f.outcomes.dead, "dead letter")}</a></li>
        <li title="From publication to delivery: half took at most the first, 99 of 100 at most the second">End-to-end latency <b>{spread(f.latency)}</b> p50 / p99</li>
        <li title="Of a single request: half took at most the first, 99 of 100 at most the second">Response time <b>{spread(f.attempt)}</b> p50 / p99</li>
      </>}
      {owed && <li>Orders that wait <b>{number(lanes.length)}{owed.next ? "+" : ""}</b> {first ? `oldest published ${ago(first)}` : owed.items.length ? "and subscriptions that catch up" : unled ? "counted by the last leader" : "nothing is owed"}</li>}
    </ul>
  );
}

function Deliveries({ figures, slots, live }: { figures: Asked<Figures>; slots: Slot[]; live: preact.ComponentChildren }) {
  const [lately, setLately] = useState(false);
  return (
    <Section title="Deliveries" aside={<>
      {live}
      <span class="choice" role="group" aria-label="Time shown">
        <button type="button" aria-pressed={!lately} onClick={() => setLately(false)}>Last hour</button>
        <button type="button" aria-pressed={lately} onClick={() => setLately(true)}>Live</button>
      </span>
    </>}>
      {figures.failure?.status === 404
        ? <Empty>There is no delivery log, so nothing can be counted. Set <code>ORDERBRIDGE_ATTEMPT_LOG=all</code> to keep one.</Empty>
        : lately ? <Plots slots={slots} /> : <Loaded of={figures}>{(f) => <Plots slots={hour(f)} />}</Loaded>}
    </Section>
  );
}

/** Plots are rates and latency side by side. */
export function Plots({ slots }: { slots: Slot[] }) {
  if (!slots.some((s) => s.delivered + s.failed + s.dead)) return <Empty>No attempts in the last {slots[0]?.seconds === 1 ? "minute" : "hour"}.</Empty>;
  return <div class="plots"><Rates slots={slots} /><Latency slots={slots} /></div>;
}

function Trouble({ states, any }: { states: Asked<Page<Verdict>>[]; any: boolean }) {
  const items = states.flatMap((s) => s.value?.items ?? []);
  if (states.some((s) => !s.value)) return <Empty>Loading …</Empty>;
  if (!items.length) {
    if (!any) return <Empty>There is nothing yet. <a href="#/new">Create the first subscription</a>, then publish an event.</Empty>;
    return <Empty>Nothing: no subscription is in trouble.</Empty>;
  }
  const more = items.length - rows, uncounted = states.some((s) => s.value?.next);
  return (
    <>
      <Table name="Subscriptions that need attention" columns={["Subscription", "State", "Since", "Why"]}>
        {items.slice(0, rows).map((v) => (
          <tr key={v.id}>
            <th scope="row"><a href={link.subscription(v.id)}>{v.id}</a></th>
            <td><State of={v.state} /></td>
            <td><When at={v.since} since /></td>
            <td class="wide">{v.reason ?? meaning[v.state]}</td>
          </tr>
        ))}
      </Table>
      {(more > 0 || uncounted) && <p><a href="#/subscriptions">{more > 0 ? `${uncounted ? "More than " : ""}${number(more)} more` : "More"}: all subscriptions</a></p>}
    </>
  );
}

interface OwedBy {
  debts: Debt[];
  events: number;
  why?: string;
}

function Owed({ of, unled }: { of: Page<Debt>; unled: boolean }) {
  if (!of.items.length) return <Empty>{unled ? "Nothing was owed when a leader counted last." : "Nothing is owed."}</Empty>;
  const by = new Map<string, OwedBy>();
  for (const d of of.items) {
    const x = by.get(d.subscription) ?? { debts: [], events: 0 };
    x.debts.push(d);
    x.events += d.lane?.seqs.length ?? 0;
    x.why ??= d.lane?.head.lastError ?? d.reads?.reason;
    by.set(d.subscription, x);
  }
  return (
    <>
      <Table name="What is owed" columns={["Subscription", "#Orders", "#Events", "Oldest published", "Why"]}>
        {[...by].map(([id, x]) => (
          <tr key={id}>
            <th scope="row"><a href={link.subscription(id)}>{id}</a></th>
            <td class="n">{number(x.debts.filter((d) => d.lane).length)}</td>
            <td class="n">{number(x.events)}</td>
            <td><When at={oldest(x.debts)} since /></td>
            <td class="wide">{x.why ?? (x.events ? "waits for its turn" : "reads the stream by itself")}</td>
          </tr>
        ))}
      </Table>
      {of.next && <p class="quiet">These are the first {number(of.items.length)} orders that wait; there are more.</p>}
    </>
  );
}
