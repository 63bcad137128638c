// Trying an operation: a form of what it takes, the request as it goes, and its answer.
import { useRef, useState } from "preact/hooks";
import { ofSession } from "../api";
import { Action } from "../parts";
import { lasts } from "../words";
import type { Parameter, Route } from "./spec";

/** Who asks: a token that was typed, else the session. It is kept nowhere. */
export interface Asker {
  token: string;
  session?: string; // whose, if the browser has one
}

interface Answer {
  status: string;
  good: boolean;
  took: number;
  headers: string;
  body: string;
  more?: boolean; // the answer goes on
}

const shown = 200_000; // characters of an answer
const patience = 25_000; // ms

export function Try({ of, as }: { of: Route; as: Asker }) {
  const [values, setValues] = useState<Record<string, string>>({});
  const example = of.requestBody?.content?.["application/json"]?.example;
  const [body, setBody] = useState(example === undefined ? "" : JSON.stringify(example, null, 2));
  const [answer, setAnswer] = useState<Answer>();
  const [asking, setAsking] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  const basic = "basic" in (of.security[0] ?? {});
  const asked = requestOf(of, values, body, as, basic);
  // A contract of the past registers by a GET: it changes something as well.
  const reads = of.method === "GET" && !basic;
  const nobody = of.security.length > 0 && !as.token && (basic || !as.session);
  const send = async () => {
    setAsking(true);
    setAnswer(undefined);
    setAnswer(await ask(asked));
    setAsking(false);
  };
  return (
    <form class="try" ref={form} onSubmit={(e) => { e.preventDefault(); if (reads) void send(); }}>
      <h4>Try it</h4>
      {of.parameters?.map((p) => <Field key={p.name} of={p} id={`${of.operationId}-${p.name}`} value={values[p.name] ?? ""} set={(v) => setValues((was) => ({ ...was, [p.name]: v }))} />)}
      {of.requestBody && (
        <label class="editor">Body{of.requestBody.required ? "" : ", may be empty"}
          <textarea rows={Math.min(20, body.split("\n").length + 1)} value={body} spellcheck={false} onInput={(e) => setBody((e.target as HTMLTextAreaElement).value)} />
        </label>
      )}
      <p class="quiet">As a command:</p>
      <pre tabIndex={0} aria-label="As a command">{curl(asked, Object.keys(of.security[0] ?? {})[0])}</pre>
      <div class="buttons">
        {nobody ? <p class="quiet">{basic ? "This operation takes no session. " : ""}Paste a token at the top of the page to send it.</p>
          : !asked.path ? <p class="quiet">Fill in what its address needs to send it.</p>
          : reads ? <button class="main" disabled={asking}>{asking ? "Sending …" : "Send"}</button>
          : <Action label="Send" danger={of.method === "DELETE"} title={`${of.summary}?`}
              what={<><p class="id">{of.method} {asked.path}</p><p>{of.description}</p><p><b>It is done for real</b>, {as.token ? "with the token that you have given" : `as ${as.session ?? "a stranger"}`}.</p></>}
              run={send} done={() => "It was sent; the answer stands under the form."} />}
      </div>
      <div role="status">
        {asking && <p class="waits">Loading …</p>}
        {answer && <>
          <h4>The answer <span class={`state ${answer.good ? "good" : "bad"}`}>{answer.status}</span> <span class="quiet">{lasts(answer.took)}</span></h4>
          {answer.headers && <pre tabIndex={0} aria-label="Headers of the answer">{answer.headers}</pre>}
          {answer.body && <pre tabIndex={0} aria-label="Body of the answer">{answer.body}</pre>}
          {answer.more && <p class="quiet">It goes on; this is its beginning.</p>}
        </>}
      </div>
    </form>
  );
}

function Field({ of, id, value, set }: { of: Parameter; id: string; value: string; set: (value: string) => void }) {
  const choice = of.schema.enum;
  return (
    <div class="field">
      <label for={id}><code>{of.name}</code>{of.required ? <span class="quiet"> required</span> : ""}</label>
      {choice
        ? <select id={id} value={value} aria-describedby={`${id}-about`} onChange={(e) => set((e.target as HTMLSelectElement).value)}>
            <option value="">any</option>{choice.map((c) => <option>{String(c)}</option>)}
          </select>
        : <input id={id} value={value} required={of.required} spellcheck={false} autocomplete="off" maxLength={of.schema.maxLength} aria-describedby={`${id}-about`}
            inputMode={of.schema.type === "integer" ? "numeric" : undefined} placeholder={of.schema.default === undefined ? "" : String(of.schema.default)}
            onInput={(e) => set((e.target as HTMLInputElement).value)} />}
      <span id={`${id}-about`} class="quiet">{of.description}</span>
    </div>
  );
}

interface Request {
  method: string;
  path: string; // "" as long as something of it is missing
  headers: Record<string, string>;
  body?: string;
  token: string;
}

function requestOf(of: Route, values: Record<string, string>, body: string, as: Asker, basic: boolean): Request {
  const all = of.parameters ?? [];
  const given = (where: Parameter["in"]) => all.filter((p) => p.in === where && values[p.name]?.trim()).map((p) => [p.name, values[p.name]!.trim()] as const);
  let path = of.path.slice(1).replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name]?.trim() ?? ""));
  if (all.some((p) => p.in === "path" && !values[p.name]?.trim())) path = "";
  const search = new URLSearchParams(given("query").map(([name, value]) => [name, value])).toString();
  const headers: Record<string, string> = Object.fromEntries(given("header"));
  if (of.requestBody && body.trim()) headers["Content-Type"] = "application/json";
  if (as.token) headers.Authorization = basic ? `Basic ${btoa(`${as.token}:`)}` : `Bearer ${as.token}`;
  return { method: of.method, path: path && search ? `${path}?${search}` : path, headers, token: as.token, body: of.requestBody && body.trim() ? body : undefined };
}

async function ask(q: Request): Promise<Answer> {
  const start = performance.now();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), patience);
  try {
    // With a token of its own the request is nobody else's: no cookie goes along, and the browser asks for no password.
    const r = await fetch(q.path, { method: q.method, headers: q.token ? q.headers : { ...ofSession(), ...q.headers }, body: q.body, credentials: q.token ? "omit" : "same-origin", cache: "no-store", signal: stop.signal });
    const took = performance.now() - start;
    const headers = [...r.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const { text, more } = await read(r, stop);
    return { status: `${r.status} ${r.statusText}`, good: r.ok, took, headers, body: pretty(text), more };
  } catch (e) {
    const why = stop.signal.aborted ? "No answer came in time." : "The bridge cannot be reached: it does not run, the network is interrupted, or the address cannot be sent.";
    return { status: "no answer", good: false, took: performance.now() - start, headers: "", body: why };
  } finally {
    clearTimeout(timer);
  }
}

/** read takes the beginning of an answer; of one that goes on, what comes within some seconds. */
async function read(r: Response, stop: AbortController): Promise<{ text: string; more: boolean }> {
  const reader = r.body?.getReader();
  if (!reader) return { text: "", more: false };
  const live = (r.headers.get("Content-Type") ?? "").startsWith("text/event-stream");
  const enough = live ? setTimeout(() => void reader.cancel(), 5_000) : 0;
  const decoder = new TextDecoder();
  let text = "";
  try {
    while (text.length < shown) {
      const { done, value } = await reader.read();
      if (done) return { text, more: live };
      text += decoder.decode(value, { stream: true });
    }
    stop.abort();
    return { text: text.slice(0, shown), more: true };
  } finally {
    clearTimeout(enough);
  }
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** curl is the request as a command; the token stands in it by name only. */
function curl(q: Request, who?: string): string {
  const headers = Object.entries(q.headers).filter(([name]) => name !== "Authorization");
  return [
    `curl -sS${q.method === "GET" ? "" : ` -X ${q.method}`}${who === "bearer" ? ` -H "Authorization: Bearer $TOKEN"` : who === "basic" ? ` -u "$TOKEN:"` : ""}`,
    ...headers.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    ...(q.body ? [`-d ${quoted(q.body)}`] : []),
    quoted(new URL(q.path || "…", document.baseURI).href),
  ].join(" \\\n  ");
}
