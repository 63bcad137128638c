// How the console asks the API. All addresses are relative to the page, so that it
// works behind any prefix.

import { told } from "./clock";

/** Failure is what the API says when it does not do something, in its own words. */
export class Failure extends Error {
  constructor(
    readonly status: number, // 0: there was no answer
    detail: string,
    readonly members: MemberProblem[] = [],
  ) {
    super(detail);
  }

  /** passes is true of what is over by itself: it is worth asking again. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface MemberProblem {
  field?: string;
  message: string;
  warning?: boolean;
}

const patience = 25_000; // ms; the API itself answers within 18 s

// A session lives as long as a person uses it: the API is told which requests a
// person caused, or was there to see.
let lastAct = Date.now();
for (const kind of ["pointerdown", "keydown", "wheel", "touchstart"]) {
  addEventListener(kind, () => (lastAct = Date.now()), { passive: true, capture: true });
}
const acting = () => (Date.now() - lastAct < 60_000 ? "act" : "watch");

// The cookie of a session is worth nothing without this key, which no page of another
// origin can read: browsers send cookies to all ports of a host.
const pageKeyName = `orderbridge session ${new URL(".", document.baseURI).pathname}`;
let pageKey = kept("localStorage", pageKeyName);

type Kept = "localStorage" | "sessionStorage"; // by name: where a browser keeps nothing, to look at them is an error

/** kept is what the browser has kept; a browser may keep nothing. */
export function kept(where: Kept, name: string): string {
  try {
    return window[where].getItem(name) ?? "";
  } catch {
    return "";
  }
}
/** keep keeps a text under a name; "" forgets it. */
export function keep(where: Kept, name: string, text: string) {
  try {
    if (text) window[where].setItem(name, text);
    else window[where].removeItem(name);
  } catch {
    // then it holds until the page is left
  }
}
/** entered remembers the session of an answer to a login. */
export function entered(s: Session): Session {
  isOut = false;
  pageKey = s.pageKey ?? "";
  keep("localStorage", pageKeyName, pageKey);
  return s;
}
/** forget is entered's end. */
export function forget() {
  pageKey = "";
  keep("localStorage", pageKeyName, "");
}
/** live is an address of the API for those who can set no header. */
export const live = (path: string, parameters: Record<string, string | undefined>) => query(path, { ...parameters, session: pageKey || kept("localStorage", pageKeyName) });

let whenLoggedOut: (why: string) => void = () => {};
let isOut = false;
/** onLoggedOut names what is called when the API does not know us any longer. */
export const onLoggedOut = (fn: (why: string) => void) => (whenLoggedOut = fn);
/** loggedOut is true from then on until somebody enters: a page that stays open asks nothing meanwhile. */
export const loggedOut = () => isOut;

export interface Request {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** ofSession are the headers without which the session counts for nothing. */
export function ofSession(): Record<string, string> {
  pageKey = kept("localStorage", pageKeyName) || pageKey; // another tab may have logged in
  return { "X-Orderbridge-Console": acting(), ...(pageKey ? { "X-Orderbridge-Session": pageKey } : {}) };
}

/** ask makes one request and returns the body of the answer; undefined of an empty one. */
export async function ask<T>(method: string, path: string, request: Request = {}): Promise<T> {
  const headers: Record<string, string> = { ...ofSession(), ...request.headers };
  if (request.body !== undefined) headers["Content-Type"] = "application/json";
  const signals = [AbortSignal.timeout(patience), ...(request.signal ? [request.signal] : [])];
  let answer: Response, text: string;
  const sent = Date.now();
  try {
    answer = await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      signal: AbortSignal.any(signals),
      body: request.body === undefined ? undefined : JSON.stringify(request.body),
    });
    told(answer.headers.get("Date"), sent, Date.now());
    text = await answer.text();
  } catch (e) {
    if (request.signal?.aborted) throw e;
    throw new Failure(0, "The bridge cannot be reached: it does not run, or the network is interrupted.");
  }
  let body: any;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    body = undefined; // a proxy may answer with a page
  }
  if (answer.ok) return body as T;
  const failure = new Failure(answer.status, body?.detail ?? `The answer is ${answer.status} ${answer.statusText}.`, body?.errors);
  if (answer.status === 401) {
    isOut = true;
    whenLoggedOut(failure.message);
  }
  throw failure;
}

/** query writes the parameters that have a value. */
export function query(path: string, parameters: Record<string, string | number | undefined>): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value) q.set(name, String(value));
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}

/** at writes a path with what stands in it encoded: at`api/v1/orders/${id}`. */
export function at(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return parts.reduce((path, part, i) => path + encodeURIComponent(String(values[i - 1])) + part);
}

// What the API answers; docs/api.md and openapi.json say more.

export interface Session {
  name: string;
  tenant?: string;
  role: "operator" | "tenant";
  reads?: boolean; // it changes nothing
  idleSeconds: number;
  version: string;
  pageKey?: string; // after logging in
}
export interface Page<T> {
  items: T[];
  next?: string;
}
export interface Verdict {
  id: string;
  revision?: number; // of the record that it is about
  state: string;
  reason?: string;
  hears?: string;
  since?: string;
  errors?: MemberProblem[];
  warnings?: MemberProblem[];
  pace?: { notBefore?: string; failingSince?: string };
}
export interface Attempt {
  entry: number;
  time: string;
  subscription: string;
  order?: string;
  sequence?: number;
  published?: string;
  eventId?: string;
  eventType?: string;
  deliveryId?: string;
  attempt?: number;
  kind?: string;
  outcome: string;
  status?: number;
  reason?: string;
  next?: string;
  request?: { method: string; url: string; headers?: Record<string, string>; bytes: number };
  response?: { headers?: Record<string, string>; excerpt?: string; bytes: number };
  timings?: { dns?: number; connect?: number; tls?: number; firstByte?: number; total: number };
}
export interface AttemptPage extends Page<Attempt> {
  last: number;
}
export interface Tally {
  time: string;
  delivered: number;
  failed: number;
  dead: number;
  other: number;
  latency?: { p50: number; p99: number };
}
export interface SubscriptionFigures {
  subscription: string;
  estimated?: boolean;
  delivered: number;
  failed: number;
  dead: number;
  latency: { p50: number; p99: number };
  owed: number;
  moreOwed?: boolean;
}
export interface Figures {
  since: string;
  until: string;
  looked: number;
  estimated?: boolean;
  outcomes: Tally;
  latency: { p50: number; p99: number };
  attempt: { p50: number; p99: number };
  minutes: Tally[];
}
export interface Debt {
  subscription: string;
  lane?: { order?: string; key: string; seqs: number[]; redrive?: number; head: { attempts: number; next?: string; lastStatus?: number; lastError?: string } };
  reads?: { from: number; reason?: string };
  published?: string; // of the oldest event
}
export interface Letter {
  deadLetter: number;
  subscription: string;
  order?: string;
  reason: string;
  attempts: number;
  lastStatus?: number;
  sequence?: number;
  time: string;
  stream?: string;
}
export interface ReplayCount {
  matches: number;
  looked: number;
  more?: boolean;
  gone: number;
}
export interface Replay {
  id: string;
  subscription: string;
  state: string;
  why?: string;
  from: number;
  until: number;
  order?: string;
  eventType?: string;
  rate?: string;
  by?: string;
  asked: string;
  next: number;
  sent: number;
  failed: number;
  lastError?: string;
}
export interface Alert {
  sequence: number;
  kind: string;
  subscription: string;
  text: string;
  time: string;
  count?: number;
  since?: string; // of the first of them
  over?: boolean;
  key?: string; // the same for what begins and what ends
}
export interface StreamEvent {
  sequence: number;
  published: string;
  subject: string;
  order?: string;
  eventType?: string;
  eventId: string;
  tenant?: string;
  bytes: number;
  data?: string;
}
export interface Overview {
  stream: string;
  last: number;
  shards: { shard: number; leader?: string; role?: string; silent?: boolean; lag: number; since?: string; owed?: number; oldest?: string }[];
  replicas: { holder: string; time: string }[];
}
export interface Leaders {
  time?: string;
  shards: number;
  leaderless: number;
  takingOver: number;
  since?: string;
}
export interface OrderStory {
  order: string;
  says: string;
  standings: {
    subscription: string;
    state?: string;
    fate: string;
    says: string;
    remedy?: string;
    status?: number;
    attempts?: number;
    next?: string;
    time?: string;
    deadLetter?: number;
    sequence?: number;
  }[];
  events: {
    sequence: number;
    published: string;
    subject: string;
    eventType?: string;
    eventId: string;
    gone?: boolean;
    hearing?: { subscription: string; hears: boolean; decided?: string; why: string }[];
  }[];
  attempts: Attempt[] | null;
  owed: Debt[];
  deadLetters: Letter[];
  remarks?: string[];
}
