// What can be done with one subscription. Each button says what will happen before it does it.
import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { ask, at, Failure, type Debt, type Letter, type Page, type ReplayCount } from "../api";
import { now } from "../clock";
import { saved } from "../leaving";
import { Action, Copied, post } from "../parts";
import { count, full, lasts, number } from "../words";
import { redriveAll, redriven } from "./letters";

export type Shown = Record<string, unknown> & { id: string; status?: string; paused?: boolean; targetURL?: string };

const webhook = (id: string) => at`api/notifications/v1/webhooks/${id}`;

export const RetryNow = ({ id, after }: { id: string; after: () => void }) => (
  <Action label="Retry now" title={`Retry ${id} now?`} after={after} run={post(`${webhook(id)}/retry-now`)}
    what={<p>All waiting for this subscription ends, a suspension too: the next attempt of each waiting order is made now, at a rate that is safe for the endpoint.</p>}
    done={(a) => a.orders || a.subscriptions ? `Sending now: ${count(a.orders, "waiting order")}.` : "No order was waiting."} />
);

export const Resume = ({ id, after }: { id: string; after: () => void }) => (
  <Action label="Resume" title={`Resume ${id}?`} after={after} run={post(`${webhook(id)}/resume`)}
    what={<p>What was published meanwhile is sent now, in order, followed by what is published from now on.</p>} done={() => "It is resumed."} />
);

export const Activate = ({ id, after }: { id: string; after: () => void }) => (
  <Action label="Activate" title={`Activate ${id}?`} after={after} run={post(`${webhook(id)}/activate`)}
    what={<p>It gets the events that are published from now on.</p>} done={() => "It is active."} />
);

/** Skip makes the first event of an order that waits a dead letter. */
export function Skip({ id, lane, after }: { id: string; lane: NonNullable<Debt["lane"]>; after: () => void }) {
  const order = lane.order || lane.key;
  return (
    <Action label="Skip" danger title={`Skip the first event of order ${order}?`} after={after}
      run={post(`${webhook(id)}/skip`, { order, sequence: lane.seqs[0] })}
      what={<p>The event with sequence {lane.seqs[0]} becomes a dead letter of {id} without another attempt{lane.seqs.length > 1 ? `, and the ${count(lane.seqs.length - 1, "event")} behind it are sent` : ""}. It can be redriven later.</p>}
      done={() => "It is a dead letter now."} />
  );
}

const Delete = ({ id }: { id: string }) => (
  <Action label="Delete" danger title={`Delete ${id}?`} after={() => saved("#/subscriptions")} run={() => ask("DELETE", at`api/v1/records/${id}`)}
    what={<p><b>It gets no more events.</b> What it is owed is kept for one day, for a record that is put under the same id meanwhile, and dropped then. To stop it without loss, pause it instead.</p>}
    done={() => `${id} is deleted.`} />
);

export function Buttons({ id, record, signed, state, letters, after }: { id: string; record: Shown; signed: boolean; state?: string; letters?: Page<Letter>; after: () => void }) {
  const path = webhook(id);
  const sends = state !== "invalid"; // else the API refuses what sends something
  const off = record.status === "deactivated";
  return (
    <div class="buttons">
      {sends && <Test id={id} path={path} url={record.targetURL} after={after} />}
      {sends && <RetryNow id={id} after={after} />}
      {!off && (record.paused
        ? <Resume id={id} after={after} />
        : <Action label="Pause" title={`Pause ${id}?`} after={after} run={post(`${path}/pause`)}
            what={<p>Nothing is sent until somebody resumes it. Nothing is lost: events are kept for it, as long as the stream keeps them.</p>} done={() => "It is paused. Events are kept for it."} />)}
      {sends && <Replay id={id} after={after} />}
      {sends && !!letters?.items.length && <Action label="Redrive all" title={`Redrive all dead letters of ${id}?`} after={after} stops run={(p) => redriveAll({ subscription: id }, p)}
        what={<p>All dead letters of {id} are owed again, oldest first, and sent {state === "suspended" ? "once it is no longer suspended" : "now"}. Those of one order are sent one after another.</p>}
        done={redriven} />}
      {sends && <Rotate id={id} path={path} signed={signed} after={after} />}
      {off
        ? <Activate id={id} after={after} />
        : <Action label="Deactivate" danger title={`Deactivate ${id}?`} after={after} run={post(`${path}/deactivate`)}
            what={<p><b>It never gets the events that are published while it is deactivated.</b> What it is owed already is still sent. To stop it without loss, pause it instead.</p>} done={() => "It is deactivated. What it was owed before is kept."} />}
      <Delete id={id} />
      {!sends && <span class="quiet">Nothing can be sent: correct the record below first.</span>}
    </div>
  );
}

/** Choice is one of some ways, each with what belongs to it. */
function Choice<T extends string>({ name, ways, of, choose }: { name: string; ways: Record<T, ComponentChildren>; of: T; choose: (way: T) => void }) {
  return (
    <fieldset>
      <legend>{name}</legend>
      {(Object.keys(ways) as T[]).map((way) => (
        <label><input type="radio" name={name} checked={of === way} onChange={() => choose(way)} /> {ways[way]}</label>
      ))}
    </fieldset>
  );
}

interface TestGiven {
  kind: "sample" | "event" | "sequence";
  text: string;
}

const noTest: TestGiven = { kind: "sample", text: "" };
const sample = '{\n  "orderId": "4711",\n  "eventType": "OrderCreated"\n}';

function Test({ id, path, url, after }: { id: string; path: string; url?: string; after: () => void }) {
  const given = useRef<TestGiven>(noTest);
  const run = async () => {
    const { kind, text } = given.current;
    if (kind === "sample") return ask("POST", `${path}/test`);
    if (kind === "sequence") {
      if (!/^[1-9]\d{0,15}$/.test(text.trim())) throw new Failure(0, `A sequence is a number from 1 on, not “${text.trim()}”.`);
      return ask("POST", `${path}/test`, { body: { sequence: Number(text) } });
    }
    try {
      JSON.parse(text);
    } catch (e) {
      throw new Failure(0, `The event is not JSON: ${(e as Error).message}`);
    }
    return ask("POST", `${path}/test`, { body: { event: JSON.parse(text) } });
  };
  return (
    <Action label="Test" title={`Send a test to ${id}?`} after={after} begin={() => (given.current = noTest)} run={run} what={<TestForm given={given} url={url} />}
      done={(a) => `${a.success ? `The endpoint accepted it: ${a.status}, in ${lasts(a.durationMs)}.` : `The endpoint did not accept it: ${a.reason ?? a.status}, after ${lasts(a.durationMs)}.`}${a.response?.excerpt ? ` Response: ${a.response.excerpt}` : ""}${(a.remarks ?? []).map((r: string) => ` ${r}`).join("")}`} />
  );
}

function TestForm({ given, url }: { given: { current: TestGiven }; url?: string }) {
  const [kind, setKind] = useState(given.current.kind);
  const set = (now: TestGiven) => {
    given.current = now;
    setKind(now.kind);
  };
  return (
    <>
      <p>One event is sent now to <code>{url}</code>, once, the same way as all deliveries. It is marked <code>X-Test: true</code>; a receiver that does not look at that takes it for any other event.</p>
      <Choice name="Which event" of={kind} ways={{ sample: "a sample event", event: "the JSON below", sequence: "an event of the stream, by sequence" }}
        choose={(way) => set({ kind: way, text: way === "event" ? sample : "" })} />
      {kind === "event" && <label class="editor">The event <textarea rows={6} defaultValue={sample} spellcheck={false} onInput={(e) => (given.current.text = (e.target as HTMLTextAreaElement).value)} /></label>}
      {kind === "sequence" && <p><label>Sequence <input inputMode="numeric" onInput={(e) => (given.current.text = (e.target as HTMLInputElement).value)} /></label></p>}
    </>
  );
}

interface RotateGiven {
  old: "keep" | "until" | "revoke";
  hours: number;
}

const aDay: RotateGiven = { old: "until", hours: 24 };

function Rotate({ id, path, signed, after }: { id: string; path: string; signed: boolean; after: () => void }) {
  const given = useRef(aDay);
  const run = () => {
    const { old, hours } = given.current;
    if (!signed) return ask("POST", `${path}/rotate-secret`, { body: {} });
    return ask("POST", `${path}/rotate-secret`, { body: old === "revoke" ? { revokeOld: true } : old === "until" ? { keepOld: `PT${hours}H` } : {} });
  };
  return (
    <Action label={signed ? "Rotate secret" : "Sign deliveries"} danger={signed} title={signed ? `Rotate the signing secret of ${id}?` : `Sign the deliveries of ${id}?`} after={after} stays
      begin={() => (given.current = aDay)} run={run}
      what={signed ? <RotateForm given={given} /> : <p>Its deliveries are not signed yet. A secret is generated and signs them from the next attempt on. It is shown only once: give it to the receiver.</p>}
      done={(a) => <>
        <p>{a.secret ? <>The new secret, shown only now: <Copied text={a.secret} />{a.formerUntil && ` The old one signs as well until ${full(a.formerUntil)}.`}</> : "The secret is changed."}</p>
        {a.plain && <p class="warning">The record holds it in plain text: whoever can read the bucket can read it. The operator can set a sealing key (<code>ORDERBRIDGE_SEALING_KEY_FILE</code>); or keep it elsewhere and name it in the record by <code>env:</code> or <code>file:</code>.</p>}
      </>} />
  );
}

function RotateForm({ given }: { given: { current: RotateGiven } }) {
  const [now, setNow] = useState(given.current);
  const set = (x: RotateGiven) => {
    given.current = x;
    setNow(x);
  };
  return (
    <>
      <p>A new secret is generated and signs from the next attempt on. It is shown only once: give it to the receiver.</p>
      <Choice name="The old secret" of={now.old} choose={(old) => set({ ...now, old })}
        ways={{ until: "signs as well for some hours", keep: "signs as well until the next rotation", revoke: "stops signing now: a receiver that does not know the new one yet rejects deliveries" }} />
      {now.old === "until" && <p><label>Hours <input type="number" min={1} max={8760} value={now.hours} onInput={(e) => set({ ...now, hours: Math.max(1, Math.trunc(Number((e.target as HTMLInputElement).value)) || 1) })} /></label></p>}
    </>
  );
}

interface ReplayGiven {
  hours: number;
  order: string;
  rate: string;
  ids: "original" | "new";
}

const lastHour: ReplayGiven = { hours: 1, order: "", rate: "", ids: "original" };

/** Replay asks from when on, and counts first if it is wanted. */
function Replay({ id, after }: { id: string; after: () => void }) {
  const given = useRef(lastHour);
  const send = (dryRun: boolean) => {
    const { hours, order, rate, ids } = given.current;
    return ask<{ replay?: { id: string }; count?: ReplayCount }>("POST", "api/v1/replays",
      { body: { subscription: id, since: new Date(now() - hours * 3_600_000).toISOString(), order, rate, ids, dryRun } });
  };
  return (
    <Action label="Replay" title={`Replay to ${id}?`} after={after} begin={() => (given.current = lastHour)} run={() => send(false)} what={<ReplayForm given={given} count={() => send(true)} />}
      done={(a) => `Replay ${a.replay?.id ?? ""} has begun. Replays shows its progress and can stop it.`} />
  );
}

function ReplayForm({ given, count: dryRun }: { given: { current: ReplayGiven }; count: () => Promise<{ count?: ReplayCount }> }) {
  const [said, setSaid] = useState("");
  const [ids, setIDs] = useState(given.current.ids);
  const set = (x: Partial<ReplayGiven>) => {
    given.current = { ...given.current, ...x };
    setSaid("");
  };
  const run = async () => {
    setSaid("Counting …");
    try {
      const c = (await dryRun()).count;
      setSaid(c ? `${count(c.matches, "event")} would be sent, of ${number(c.looked)} examined${c.more ? "; there are more after these" : ""}${c.gone ? `; ${number(c.gone)} are no longer in the stream` : ""}.` : "There is no count.");
    } catch (e) {
      setSaid((e as Error).message);
    }
  };
  return (
    <>
      <p>Events of the last hours that this subscription hears are sent again, alongside live traffic, marked <code>X-Replay: true</code>. The receiver gets events again that it already has.</p>
      <div class="filters">
        <label>Last hours <input type="number" min={1} max={8760} defaultValue={String(given.current.hours)} onInput={(e) => set({ hours: Number((e.target as HTMLInputElement).value) || 1 })} /></label>
        <label>Order <input placeholder="all" spellcheck={false} onInput={(e) => set({ order: (e.target as HTMLInputElement).value.trim() })} /></label>
        <label>Rate <input placeholder="10/s, 30/m" spellcheck={false} onInput={(e) => set({ rate: (e.target as HTMLInputElement).value.trim() })} /></label>
      </div>
      <Choice name="Delivery ids" of={ids} choose={(way) => { setIDs(way); set({ ids: way }); }}
        ways={{ original: "as before: a receiver that remembers them skips what it has", new: "new: the receiver processes everything again" }} />
      <p><button type="button" onClick={run}>Count first</button></p>
      <p role="status">{said}</p>
    </>
  );
}
