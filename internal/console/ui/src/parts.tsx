// What pages are made of.
import { cloneElement, createContext, toChildArray, type ComponentChildren, type VNode } from "preact";
import { useContext, useEffect, useId, useRef, useState } from "preact/hooks";
import { ask, type Attempt, type Debt, type Failure as Failed } from "./api";
import { regain } from "./focus";
import type { Liveness } from "./use";
import { ago, count, full, lasts, locale, size, time } from "./words";

/** link is an address of the console. */
export const link = {
  subscription: (id: string) => `#/subscriptions/${encodeURIComponent(id)}`,
  order: (id: string) => `#/orders/${encodeURIComponent(id)}`,
  letter: (n: number) => `#/dead-letters/${n}`,
};

// How bad a state or an outcome is; colours are never the only sign of it.
const levels: Record<string, "good" | "busy" | "bad" | "off"> = {
  active: "good", delivered: "good", leader: "good",
  retrying: "busy", reading: "busy", owed: "busy", failed: "busy", "taking over": "busy",
  suspended: "bad", running: "busy", stopped: "off", done: "good", invalid: "bad", dead: "bad",
};

const named: Record<string, string> = { dead: "dead letter" }; // what the API calls otherwise

export function State({ of }: { of: string }) {
  return <span class={`state ${levels[of] ?? "off"}`}>{named[of] ?? of}</span>;
}

export function When({ at, since }: { at?: string; since?: boolean }) {
  if (!at || at.startsWith("0001-")) return <>–</>; // Go's zero time
  return <time dateTime={at} title={full(at)} lang={since ? undefined : locale}>{since ? ago(at) : time(at)}</time>;
}

/** oldest is when the first event of those that wait was published. */
export function oldest(debts: Debt[]): string | undefined {
  return debts.flatMap((d) => d.published ?? []).sort((a, b) => Date.parse(a) - Date.parse(b))[0];
}

/** Failure tells in the words of the API what went wrong, and offers to ask again. */
export function Failure({ of, again }: { of: Failed; again?: () => void }) {
  const members = of.members ?? []; // an error of the page itself has none
  return (
    <div class="failure" role="alert">
      <p>{of.message}</p>
      {members.length > 1 && <ul>{members.map((m) => <li>{m.field && <b>{m.field}</b>} {m.message}</li>)}</ul>}
      {again && of.passes && <button type="button" onClick={again}>Try again</button>}
    </div>
  );
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;

/** Section is a part of a page under a heading. */
export function Section({ title, aside, children }: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <div class="head"><h2 id={id} tabIndex={-1}>{title}</h2>{aside}</div>
      {children}
    </section>
  );
}

/** Live says whether new entries come by themselves. */
export const Live = ({ of, text = "live", off = "" }: { of: Liveness; text?: string; off?: string }) =>
  <span class={`live ${of}`}>{{ on: text, off, lost: "live view interrupted, connecting again", full: "not live: other windows are" }[of]}</span>;

export const Waits = () => <p class="waits" role="status">Loading …</p>;

/** AsOf says how old what is shown is, where it cannot be asked for again. */
export const AsOf = ({ of }: { of: { value?: unknown; at?: string; failure?: Failed } }) =>
  of.failure && of.value !== undefined && of.at ? <p class="stale">As of <When at={of.at} /></p> : null;

/** Loaded shows what was asked for: its failure, that it is on its way, or itself. */
export function Loaded<T>({ of, children }: { of: { value?: T; at?: string; failure?: Failed; asking: boolean; again: () => void }; children: (value: T) => ComponentChildren }) {
  return (
    <>
      {of.failure && <Failure of={of.failure} again={of.again} />}
      <AsOf of={of} />
      {of.value !== undefined ? children(of.value) : of.asking && <Waits />}
    </>
  );
}

/**
 * Table has rows of cells as its children. A column of numbers begins with #. On a
 * phone each row is a block, in which the cells say the names of their columns.
 */
export function Table({ name, columns, children }: { name: string; columns: string[]; children: ComponentChildren }) {
  return (
    <div class="scroll" role="group" aria-label={name} tabIndex={0}>
      <table>
        <thead><tr>{columns.map((c) => <th scope="col" class={c[0] === "#" ? "n" : ""}>{c.replace("#", "") || <span class="unseen">Actions</span>}</th>)}</tr></thead>
        <tbody>
          {toChildArray(children).map((row) => cloneElement(row as VNode, {}, toChildArray((row as VNode<{ children: ComponentChildren }>).props.children)
            .map((cell, i) => cloneElement(cell as VNode, { "data-name": columns[i]?.replace("#", "") }))))}
        </tbody>
      </table>
    </div>
  );
}

export function More({ of }: { of: { more?: () => void; asking: boolean } }) {
  return of.more ? <p><button type="button" onClick={of.more} disabled={of.asking}>{of.asking ? "Loading …" : "Show more"}</button></p> : null;
}

export interface Act {
  label: string;
  title: string; // of the question
  what: ComponentChildren; // will happen
  run: (progress: Progress) => Promise<unknown>;
  done: (answer: any) => ComponentChildren; // null: nothing is told
  begin?: () => void; // before it asks
  stays?: boolean; // what came of it is closed by its button only: it is shown once
  danger?: boolean;
  stops?: boolean; // it takes a while, and can be stopped midway
  after?: () => void;
  not?: () => void; // in place of it, where the question is closed without it
}

/** Progress is how an action that takes a while tells how far it is, and hears that it is to stop. */
export interface Progress {
  tell: (said: string) => void;
  signal: AbortSignal;
}

/** question opens the question of an action. */
export let question: (act: Act) => void = () => {};

/** MayChange is false for who may only read; the API decides, and this keeps buttons from those it would refuse. */
export const MayChange = createContext(true);

/** Action is a button that asks before it does what it says; lacks is why it cannot be used yet. */
export function Action({ lacks, main, ...act }: Act & { lacks?: string; main?: boolean }) {
  const id = useId();
  if (!useContext(MayChange)) return null;
  return (
    <>
      <button type="button" class={act.danger ? "danger" : main ? "main" : ""} aria-disabled={!!lacks} aria-describedby={lacks ? id : undefined}
        onClick={() => lacks || question(act)}>{act.label}</button>
      {lacks && <span class="quiet" id={id}>{lacks}</span>}
    </>
  );
}

/**
 * Question is where actions ask, and tell what came of it. There is one of it, in the
 * shell: what the button stood in may be gone by then.
 */
export function Question() {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [act, setAct] = useState<Act>();
  const [state, setState] = useState<{ running?: boolean; stopping?: boolean; failure?: Failed; said?: ComponentChildren; progress?: string }>({});
  const stop = useRef(new AbortController());
  const did = useRef(false);
  useEffect(() => {
    question = (now) => {
      stop.current.abort();
      did.current = false;
      now.begin?.();
      setAct(now);
      setState({});
      stop.current = new AbortController();
      if (!dialog.current?.open) dialog.current?.showModal();
    };
  }, []);
  useEffect(() => { // the button that was pressed is gone by then
    if (dialog.current?.open && !dialog.current.contains(document.activeElement)) dialog.current.focus();
  }, [state]);
  const go = async () => {
    const mine = stop.current;
    const set: typeof setState = (now) => stop.current === mine && setState(now); // another may be asked by then
    set({ running: true });
    try {
      const answer = await act!.run({ signal: mine.signal, tell: (progress) => set((was) => ({ ...was, progress })) });
      if (stop.current === mine) did.current = true;
      const said = act!.done(answer);
      if (said === null) dialog.current?.close();
      else set({ said });
      act!.after?.();
    } catch (e) {
      set({ failure: e as Failed });
    }
  };
  const halt = () => {
    stop.current.abort();
    setState((was) => ({ ...was, stopping: true }));
  };
  return (
    <dialog ref={dialog} tabIndex={-1} aria-labelledby={id} onCancel={(e) => act?.stays && state.said && e.preventDefault()} onClose={() => {
      if (dialog.current?.open) return; // the browser tells it late: another is asked already
      stop.current.abort();
      setAct(undefined);
      if (!did.current) act?.not?.();
      regain();
    }}>
      {act && (
        <>
          <h2 id={id}>{act.title}</h2>
          {state.said ? <div role="status" class="what">{state.said}</div> : <div class="what">{act.what}</div>}
          {state.progress && <p role="status">{state.progress}</p>}
          {state.failure && <Failure of={state.failure} />}
          <div class="buttons">
            {state.running && act.stops && <button type="button" class="danger" disabled={state.stopping} onClick={halt}>{state.stopping ? "Stopping …" : "Stop"}</button>}
            {!state.said && <button type="button" class={act.danger ? "danger" : "main"} disabled={state.running} onClick={go}>{state.running ? "Working …" : act.label}</button>}
            {!(state.running && act.stops) && <button type="button" onClick={() => dialog.current?.close()}>{state.said || state.running || state.failure ? "Close" : "Cancel"}</button>}
          </div>
        </>
      )}
    </dialog>
  );
}

/** Copied is a text with a button that copies it, where the browser lets it. */
export function Copied({ text }: { text: string }) {
  const [done, setDone] = useState(false);
  return <><code>{text}</code> {navigator.clipboard && <button type="button" onClick={() => navigator.clipboard.writeText(text).then(() => setDone(true), () => {})}>{done ? "Copied" : "Copy"}</button>}</>;
}

/** post is what most actions do. */
export const post = (path: string, body?: unknown) => () => ask<any>("POST", path, { body });

// Parts of an attempt's time, in their order.
const steps = [["dns", "DNS"], ["connect", "connect"], ["tls", "TLS"], ["firstByte", "waiting for the response"]] as const;

/** Waterfall shows where an attempt's time went. */
export function Waterfall({ of }: { of: NonNullable<Attempt["timings"]> }) {
  const known = steps.reduce((sum, [k]) => sum + (of[k] ?? 0), 0);
  const parts = [...steps.map(([k, name]) => ({ k, name, ms: of[k] ?? 0 })), { k: "rest", name: "reading the response", ms: Math.max(0, of.total - known) }].filter((p) => p.ms > 0.01 * of.total);
  const whole = Math.max(of.total, known, 0.001);
  let from = 0;
  return (
    <table class="waterfall">
      <caption>Time: {lasts(of.total)} in total</caption>
      <tbody>
        {parts.map((p) => {
          const x = (from / whole) * 100;
          from += p.ms;
          return (
            <tr>
              <th scope="row">{p.name}</th>
              <td><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class={p.k} x={x} y="1" width={Math.max((p.ms / whole) * 100, 0.5)} height="8" /></svg></td>
              <td class="n">{lasts(p.ms)}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function Headers({ of }: { of?: Record<string, string> }) {
  if (!of) return null;
  return <pre tabIndex={0}>{Object.entries(of).map(([name, value]) => `${name}: ${value}`).join("\n")}</pre>;
}

/** AttemptItem is an entry of the delivery log, which opens to tell all of it; its subscription or its order may be known already. */
export function AttemptItem({ of, alone, ofOrder }: { of: Attempt; alone?: boolean; ofOrder?: boolean }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="attempt" onToggle={(e) => setOpen((e.target as HTMLDetailsElement).open)}>
      <summary>
        <When at={of.time} />
        <State of={of.outcome} />
        <span class="n">{of.status || ""}</span>
        {!alone && <span class="id">{of.subscription}</span>}
        {!ofOrder && <span class="id">{of.order ?? of.eventId}</span>}
        <span class="quiet">{[of.eventType, of.attempt && `attempt ${of.attempt}`, of.kind !== "live" && of.kind, of.timings && lasts(of.timings.total)].filter(Boolean).join(" · ")}</span>
        {of.outcome !== "delivered" && of.reason && <span class="reason">{of.reason}</span>}
      </summary>
      {open && (
        <div class="inside">
          <dl>
            {of.order && <><dt>Order</dt><dd><a href={link.order(of.order)}>{of.order}</a></dd></>}
            <dt>Subscription</dt><dd><a href={link.subscription(of.subscription)}>{of.subscription}</a></dd>
            <dt>Event</dt><dd>{of.eventId}{of.sequence ? `, sequence ${of.sequence}` : ""}</dd>
            {of.deliveryId && <><dt>Delivery id</dt><dd>{of.deliveryId}</dd></>}
            {of.published && <><dt>Published</dt><dd><When at={of.published} /> ({lasts(new Date(of.time).getTime() - new Date(of.published).getTime())} earlier)</dd></>}
            {of.next && <><dt>Next attempt</dt><dd><When at={of.next} /></dd></>}
          </dl>
          {of.timings && <Waterfall of={of.timings} />}
          {of.request && <><h3>Request</h3><p class="id">{of.request.method} {of.request.url} ({size(of.request.bytes)})</p><Headers of={of.request.headers} /></>}
          {of.response && <><h3>Response</h3><p>{of.status} ({size(of.response.bytes)})</p><Headers of={of.response.headers} />{of.response.excerpt && <pre tabIndex={0}>{of.response.excerpt}</pre>}</>}
        </div>
      )}
    </details>
  );
}

export function AttemptList({ items, alone }: { items: Attempt[]; alone?: boolean }) {
  return <div class="attempts" aria-label={count(items.length, "attempt")} role="group">{items.map((a) => <AttemptItem key={a.entry} of={a} alone={alone} />)}</div>;
}

/** useNow makes what says "3 minutes ago" true again from time to time. */
export function useNow(every: number) {
  const [, set] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => set((n) => n + 1), every);
    return () => clearInterval(timer);
  }, [every]);
}
