// Hooks: what a page asks, where the reader is, what is live.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { now } from "./clock";
import { leaving } from "./leaving";
import { ask, live, loggedOut, query, type Alert, type Attempt, type Failure, type StreamEvent, type Verdict } from "./api";
import { visible } from "./safe";

export interface Asked<T> {
  value?: T; // of the last good answer
  at?: string; // when that came
  failure?: Failure; // of the last one, if it was none
  asking: boolean;
  again: () => void;
}

const soon = 5_000; // ms until what passes by itself is asked for again
const bridge = new EventTarget(); // "changed": a stream was cut off, or is there again

/**
 * useAsk asks by GET, again every so many ms while the page is seen, at once where a
 * stream shows that the bridge has gone or come back, and again after a failure that
 * passes or somebody who has logged in again; null asks nothing.
 */
export function useAsk<T>(path: string | null, every = 0): Asked<T> {
  const [state, setState] = useState<{ path: string | null; value?: T; at?: string; failure?: Failure; asking: boolean }>({ path, asking: true });
  const [round, setRound] = useState(0);
  const again = useCallback(() => setRound((n) => n + 1), []);
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    let timer = 0;
    let asked = false;
    const run = async () => {
      if (asked && (document.hidden || loggedOut())) {
        timer = window.setTimeout(run, every || soon);
        return;
      }
      asked = true;
      let wait = every;
      setState((s) => (s.path === path ? { ...s, asking: true } : { path, asking: true }));
      try {
        const value = await ask<T>("GET", path, { signal: stop.signal });
        setState({ path, value, at: new Date(now()).toISOString(), asking: false });
      } catch (e) {
        if (stop.signal.aborted) return;
        const failure = e as Failure;
        if (failure.passes || failure.status === 401) wait = Math.min(every || soon, soon);
        setState((s) => ({ ...s, path, asking: false, failure }));
      }
      if (wait && !stop.signal.aborted) timer = window.setTimeout(run, wait);
    };
    void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [path, every, round]);
  useEffect(() => {
    if (every) bridge.addEventListener("changed", again);
    return () => bridge.removeEventListener("changed", again);
  }, [every]);
  if (state.path !== path) return { asking: path !== null, again };
  return { value: state.value, at: state.at, failure: state.failure, asking: state.asking && path !== null, again };
}

/** usePages asks for a list page by page: more() brings the next one. */
export function usePages<T>(path: string, parameters: Record<string, string | number | undefined>, cursor: "after" | "before") {
  const first = query(path, parameters);
  const head = useAsk<{ items: T[]; next?: string }>(first);
  const [rest, setRest] = useState<{ of: string; items: T[]; next?: string; failure?: Failure; asking: boolean }>();
  const tail = rest?.of === first ? rest : undefined;
  const next = tail ? tail.next : head.value?.next;
  const more = async () => {
    const items = tail?.items ?? [];
    setRest({ of: first, items, next, asking: true });
    try {
      const page = await ask<{ items: T[]; next?: string }>("GET", query(path, { ...parameters, limit: Math.max(50, Number(parameters.limit ?? 0)), [cursor]: next }));
      setRest({ of: first, items: [...items, ...page.items], next: page.next, asking: false });
    } catch (e) {
      setRest({ of: first, items, next, asking: false, failure: e as Failure });
    }
  };
  const again = () => {
    setRest(undefined);
    head.again();
  };
  return {
    items: head.value && [...head.value.items, ...(tail?.items ?? [])],
    failure: head.failure ?? tail?.failure,
    asking: head.asking || !!tail?.asking,
    more: next ? more : undefined,
    deep: !!tail, // more than the first page is shown
    again,
  };
}

export interface Place {
  path: string[]; // ["subscriptions", "crm"]
  search: URLSearchParams;
}

function place(): Place {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean);
  return { path: parts.map((p) => (decode(p))), search: new URLSearchParams(search) };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * usePlace is where the reader is: what stands behind # in the address. It stays what it
 * was until who would lose something has said that they go.
 */
export function usePlace(): Place {
  const [now, setNow] = useState(place);
  useEffect(() => {
    // The entries of the browser's history are numbered, so that one can go back to this one.
    const number = (else_: number): number => {
      const n = history.state?.entry ?? else_;
      history.replaceState({ entry: n }, "");
      return n;
    };
    let shown = place();
    let entry = number(0);
    const moved = () => {
      const to = place(), n = number(entry + 1);
      const go = () => {
        entry = n;
        setNow((shown = to));
      };
      if (to.path.join("/") === shown.path.join("/")) go();
      else leaving(go, () => n !== entry && history.go(entry - n));
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  return now;
}

const most = 200; // entries that wait to be told; the API sends no more in a second
const beat = 500; // ms between two tellings, so that a flood does not draw the page again for each entry

type Told<T> = (came: T[], missed: boolean) => void;

/**
 * useLive tells the entries of the delivery log as they come, newest first, some at a
 * time; missed is true where there were more than could be told, and now and then while
 * the stream has no place: lists are to be asked for again.
 */
export const useLive = (subscription: string | undefined, fn: Told<Attempt>) => useStream("attempt", true, fn, subscription);

/** useEvents tells the events of the stream likewise. A page has one of these: a browser opens six at most, of all its tabs. */
export const useEvents = (on: boolean, fn: Told<StreamEvent>) => useStream("event", on, fn);

/** useAlerts tells the alerts likewise. */
export const useAlerts = (fn: Told<Alert>) => useStream("alert", true, fn);

/** useStatuses tells what the bridge says of subscriptions likewise, when it changes. */
export const useStatuses = (fn: Told<Verdict>) => useStream("status", true, fn);

const streams = { attempt: undefined, event: "events", alert: "alerts", status: "statuses" };

/** Liveness of a stream: full is one that other windows leave no place for. */
export type Liveness = "on" | "off" | "lost" | "full";

const places = 4; // streams of all windows of a browser over HTTP/1.1, which has six connections: two are left to ask by

/**
 * claim takes one of the places, and resolves to what gives it back; undefined: all are
 * taken. Over HTTP/2 all streams share a connection, and browsers have no locks for pages
 * without TLS of other machines: there is no bound then.
 */
async function claim(): Promise<(() => void) | undefined> {
  const shared = performance.getEntries().some((e) => /^h[23]/.test((e as PerformanceResourceTiming).nextHopProtocol ?? ""));
  if (!navigator.locks || shared) return () => {};
  for (let i = 0; i < places; i++) {
    const give = await new Promise<(() => void) | undefined>((taken) => {
      void navigator.locks.request(`orderbridge live ${i}`, { ifAvailable: true }, (lock) =>
        lock ? new Promise<void>((give) => taken(give)) : taken(undefined));
    });
    if (give) return give;
  }
  return undefined;
}

/**
 * useStream opens a stream while the page is seen: one that is hidden lets go of it, and goes
 * on where it was when it is seen again.
 */
function useStream<T>(kind: keyof typeof streams, on: boolean, fn: Told<T>, subscription?: string): Liveness {
  const [state, setState] = useState<Liveness>("off");
  const latest = useRef(fn);
  latest.current = fn;
  useEffect(() => {
    if (!on) return setState("off");
    let source: EventSource | undefined;
    let give: (() => void) | undefined; // its place
    let opening = 0;
    let retrying = 0;
    let telling = 0;
    let waiting: T[] = [];
    let missed = false;
    let last: string | undefined; // id of what came
    const tell = () => {
      const came = waiting;
      const some = missed;
      [telling, waiting, missed] = [0, [], false];
      latest.current(came.reverse(), some);
    };
    let was: "on" | "lost" = "on";
    const turn = (now: "on" | "lost") => {
      if (now !== was) bridge.dispatchEvent(new Event("changed"));
      was = now;
      setState(now);
    };
    const later = () => (telling ||= window.setTimeout(tell, beat));
    const open = async () => {
      if (document.hidden) return;
      if (loggedOut()) return retry();
      const mine = ++opening;
      const place = await claim();
      if (mine !== opening) return place?.(); // closed meanwhile
      if (!place) {
        setState("full");
        missed = true;
        later();
        return retry();
      }
      give = place;
      source = new EventSource(live("api/v1/live", { subscription, of: streams[kind], above: last }));
      source.onopen = () => {
        turn("on");
        if (last || kind === "attempt" || kind === "event") return;
        missed = true; // what came before it was open
        later();
      };
      source.addEventListener(kind, (e) => {
        last = (e as MessageEvent).lastEventId || last;
        waiting.push(JSON.parse((e as MessageEvent).data));
        if (waiting.length > most) missed = !!waiting.shift();
        later();
      });
      source.addEventListener("gap", () => {
        missed = true;
        later();
      });
      source.addEventListener("end", retry);
      source.onerror = () => {
        turn("lost");
        if (source?.readyState === EventSource.CLOSED) retry();
      };
    };
    const close = () => {
      opening++;
      source?.close();
      source = undefined;
      give?.();
      give = undefined;
      clearTimeout(retrying);
    };
    const retry = () => {
      close();
      retrying = window.setTimeout(() => void open(), 5_000);
    };
    const turned = () => {
      close();
      void open();
    };
    document.addEventListener("visibilitychange", turned);
    void open();
    return () => {
      document.removeEventListener("visibilitychange", turned);
      close();
      clearTimeout(telling);
    };
  }, [kind, subscription, on]);
  return state;
}

const calm = 3_000; // ms; so often at most lists are asked for again because something has come

/** useSoon calls fn some time after it is wanted, once for all that want it meanwhile. */
export function useSoon(fn: () => void): () => void {
  const latest = useRef(fn);
  latest.current = fn;
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    timer.current ||= window.setTimeout(() => {
      timer.current = 0;
      latest.current();
    }, calm);
  }, []);
}

/** useTitle names the page in the tab, and moves the focus to its heading. */
export function useTitle(title: string) {
  useEffect(() => {
    document.title = `${visible(title)} · orderbridge`;
  }, [title]);
}
