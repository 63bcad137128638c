import { useEffect, useState } from "preact/hooks";
import { at, query, type Attempt, type Debt, type Figures, type Letter, type Page, type Verdict } from "../api";
import { now } from "../clock";
import type { PageProps } from "../console";
import { AttemptList, Empty, Failure, link, Live, Loaded, More, oldest, Section, State, Table, useNow, When, Waits } from "../parts";
import { Editor } from "../editor";
import { hour } from "../plots";
import { visible } from "../safe";
import { useAsk, useLive, usePages, useSoon, useTitle } from "../use";
import { count, lasts, local, number } from "../words";
import { Plots } from "./overview";
import { Buttons, Skip, type Shown } from "./actions";
import { redrive } from "./letters";
import { ReplaysOf } from "./replays";

/** isID is true of what the id of a subscription may be. */
export const isID = (text: string) => /^[A-Za-z0-9_-]{1,64}$/.test(text);

/** Subscription is all of one: what the bridge says, its attempts, and what can be done. */
export function Subscription(props: PageProps) {
  const id = props.place.path[1]!;
  useTitle(id);
  return isID(id) ? <One {...props} id={id} /> : <><h1><span class="quiet">Subscription</span> {id}</h1><Missing id={id} /></>;
}

const Missing = ({ id }: { id: string }) => (
  <Empty>There is no such subscription, or it belongs to another tenant. See <a href="#/subscriptions">all subscriptions</a>, or <a href={`#/search?q=${encodeURIComponent(id)}`}>search for an order or event</a> with this id.</Empty>
);

function One({ id, session }: PageProps & { id: string }) {
  useNow(30_000);
  const [judged, setJudged] = useState(true);
  const status = useAsk<Verdict>(query(at`api/v1/statuses/${id}`, { gone: session.role === "operator" ? "true" : undefined }), judged ? 5_000 : 1_000);
  const record = useAsk<Shown>(at`api/notifications/v1/webhooks/${id}`);
  const figures = useAsk<Figures>(query("api/v1/figures", { subscription: id }), 10_000);
  const owed = useAsk<Page<Debt>>(query("api/v1/owed", { subscription: id, limit: 50 }), 5_000);
  const letters = useAsk<Page<Letter>>(query("api/v1/dead-letters", { subscription: id, limit: 20 }), 10_000);
  const stored = useAsk<{ record?: object; revision: number }>(at`api/v1/records/${id}`);
  const mayChange = !session.reads;
  const all = [status, record, stored, owed, letters];
  const again = () => all.forEach((a) => a.again());
  const gone = record.failure?.status === 404;
  const fresh = !gone && status.failure?.status === 404; // the bridge has not seen the new record yet
  useEffect(() => setJudged(!fresh), [fresh]);
  const seen = `${status.value?.revision} ${status.value?.state}`;
  useEffect(() => {
    if (!stored.value || status.value?.revision === stored.value.revision) return;
    record.again(); // somebody has changed it
    stored.again();
  }, [seen]);
  return (
    <>
      <h1><span class="quiet">Subscription</span> {id}</h1>
      {fresh ? <p class="waits" role="status">The bridge is reading the record …</p> : (!gone || status.value) && <Loaded of={status}>{(v) => <Verdicts of={v} />}</Loaded>}
      {gone ? !status.value && <Missing id={id} /> : <>
        {record.value && <Buttons id={id} record={record.value} signed={!!(stored.value?.record as { signing?: object } | undefined)?.signing} state={status.value?.state} letters={letters.value} after={again} />}
        <Section title="Deliveries, last hour">
          {figures.failure?.status === 404 ? <Empty>There is no delivery log. Set <code>ORDERBRIDGE_ATTEMPT_LOG=all</code> to keep one.</Empty> : <Loaded of={figures}>{(f) => <>
            <Plots slots={hour(f)} />
            <p class="quiet">{f.estimated ? "about " : ""}{number(f.outcomes.delivered)} delivered, {count(f.outcomes.failed, "failed attempt")}, {count(f.outcomes.dead, "dead letter")}{f.attempt.p99 ? `; response time p50 ${lasts(f.attempt.p50)}, p99 ${lasts(f.attempt.p99)}` : ""}.</p>
          </>}</Loaded>}
        </Section>
        <Attempts id={id} />
        <Section title="Owed: orders that wait for delivery"><Loaded of={owed}>{(o) => <Owed of={o} id={id} state={status.value?.state} after={again} />}</Loaded></Section>
        <Section title="Dead letters" aside={<a href={`#/dead-letters?subscription=${encodeURIComponent(id)}`}>Show all</a>}>
          <Loaded of={letters}>{(l) => l.items.length
            ? <Table name="Dead letters" columns={["Time", "Order", "#Attempts", "Reason", ""]}>
                {l.items.map((x) => <tr key={x.deadLetter}>
                  <td><a href={link.letter(x.deadLetter)}><When at={x.time} /></a></td>
                  <th scope="row">{x.order ? <a href={link.order(x.order)}>{x.order}</a> : "–"}</th>
                  <td class="n">{x.attempts}</td><td class="wide">{x.reason}</td><td>{redrive(x, again)}</td>
                </tr>)}
              </Table>
            : <Empty>No dead letters.</Empty>}</Loaded>
        </Section>
        <ReplaysOf subscription={id} />
        <Section title="Record">
          <p class="quiet">Secrets are shown as [redacted].</p>
          <Loaded of={stored}>{(r) => mayChange && r.record
            ? <Editor id={id} text={visible(JSON.stringify(r.record, null, 2))} revision={r.revision} after={again} />
            : <pre tabIndex={0}>{JSON.stringify(r.record, null, 2) ?? "It is not JSON."}</pre>}</Loaded>
        </Section>
      </>}
    </>
  );
}

function Verdicts({ of }: { of: Verdict }) {
  return (
    <>
      <p class="says"><State of={of.state} /> <When at={of.since} since /> {of.hears && <span>· {of.hears}</span>}</p>
      {of.reason && !of.warnings?.some((e) => e.message.startsWith(of.reason!)) && <p>{local(of.reason)}</p>}
      {!!of.errors?.length && <ul class="failure">{of.errors.map((e) => <li><b>{e.field}</b> {e.message}</li>)}</ul>}
      {!!of.warnings?.length && <ul class="warning">{of.warnings.map((e) => <li><b>{e.field}</b> {local(e.message)}</li>)}</ul>}
    </>
  );
}

/** Attempts of the subscription, the newest first, and new ones as they come. */
function Attempts({ id }: { id: string }) {
  const [outcome, setOutcome] = useState("");
  const list = usePages<Attempt>("api/v1/attempts", { subscription: id, outcome, limit: 10 }, "after");
  const [came, setCame] = useState<Attempt[]>([]);
  const soon = useSoon(() => list.deep || list.asking || list.again());
  const live = useLive(id, (entries, missed) => {
    setCame((was) => [...entries, ...was].slice(0, 200));
    if (missed) soon();
  });
  const newest = list.items?.[0]?.entry ?? 0;
  const fresh = came.filter((a) => a.entry > newest && (!outcome || a.outcome === outcome));
  const items = list.items && [...fresh, ...list.items];
  return (
    <Section title="Attempts" aside={<>
      <Live of={live} />
      <label>Outcome <select value={outcome} onChange={(e) => setOutcome((e.target as HTMLSelectElement).value)}>
        <option value="">any</option>{["delivered", "failed", "dead", "filtered", "superseded", "cut"].map((o) => <option value={o}>{o === "dead" ? "dead letter" : o}</option>)}
      </select></label>
    </>}>
      {list.failure?.status === 404 ? <Empty>There is no delivery log. Set <code>ORDERBRIDGE_ATTEMPT_LOG=all</code> to keep one.</Empty>
        : list.failure && <Failure of={list.failure} again={list.again} />}
      {!items && list.asking && <Waits />}
      {items && (items.length ? <AttemptList items={items} alone /> : <Empty>{outcome ? "No attempts with this outcome." : "No attempts yet. They appear here as they are made; Test sends a sample event."}</Empty>)}
      <More of={list} />
    </Section>
  );
}

const waitsFor: Record<string, string> = { suspended: "when the endpoint answers again", paused: "when it is resumed", invalid: "when its record is corrected" };

function Owed({ of, id, state = "", after }: { of: Page<Debt>; id: string; state?: string; after: () => void }) {
  const lanes = of.items.filter((d) => d.lane);
  const reader = of.items.find((d) => d.reads);
  const reads = reader?.reads;
  if (!of.items.length) return <Empty>Nothing is owed.</Empty>;
  return (
    <>
      {reads && <p>It is behind and works through the stream, from sequence {number(reads.from)}{reads.reason ? `: ${reads.reason}` : ""}.{reader?.published && <> Its next event was published <When at={reader.published} since />.</>}</p>}
      {!!lanes.length && <Table name="Orders that wait" columns={["Order", "#Events", "Oldest published", "#Attempts", "Next attempt", "Last error", ""]}>
        {lanes.map((d) => ({ d, lane: d.lane! })).map(({ d, lane }) => <tr key={`${lane.key} ${lane.redrive ?? ""}`}>
          <th scope="row">{lane.order ? <a href={link.order(lane.order)}>{lane.order}</a> : lane.key}{lane.redrive && <span class="quiet"> redriven</span>}</th>
          <td class="n">{number(lane.seqs.length)}</td>
          <td><When at={oldest([d])} since /></td>
          <td class="n">{number(lane.head.attempts)}</td>
          <td>{lane.head.next && Date.parse(lane.head.next) < now() ? waitsFor[state] ?? "due" : <When at={lane.head.next} since />}</td>
          <td class="wide">{lane.head.lastError ?? (lane.head.lastStatus || "")}</td>
          <td><Skip id={id} lane={lane} after={after} /></td>
        </tr>)}
      </Table>}
      {of.next && <p class="quiet">These are the first; there are more.</p>}
    </>
  );
}
