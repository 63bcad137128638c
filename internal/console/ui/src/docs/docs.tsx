// The page of the API: each operation of openapi.json with what it takes and answers, and a form to try it.
import "../safe";
import { render, type ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { ofSession, type Session } from "../api";
import { Failure, Question, Waits } from "../parts";
import { Theme } from "../theme";
import { useAsk } from "../use";
import { kind, nameOf, resolve, routes, type Body, type Route, type Schema, type Spec } from "./spec";
import { Try, type Asker } from "./try";

const idOf = (schema: string) => `schema-${schema.replaceAll("/", "-").replaceAll("$", "")}`;

/** Text is a text with what stands between backquotes as code. */
function Text({ of }: { of?: string }) {
  return <>{(of ?? "").split("`").map((part, i) => (i % 2 ? <code>{part}</code> : part))}</>;
}

function Docs() {
  const spec = useAsk<Spec>("openapi.json");
  const session = useSession();
  const [token, setToken] = useState("");
  const [wanted, setWanted] = useState("");
  const at = useAnchor(!!spec.value);
  const groups = useMemo(() => spec.value?.tags.map((tag) => ({ ...tag, routes: routes(spec.value!, tag.name) })), [spec.value]);
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const found = (r: Route) => words.every((w) => `${r.method} ${r.path} ${r.operationId} ${r.summary} ${r.description}`.toLowerCase().includes(w));
  const as: Asker = { token: token.trim(), session };
  const shown = groups?.map((g) => ({ ...g, routes: g.routes.filter(found) })).filter((g) => g.routes.length);
  return (
    <>
      <a class="skip" href="#content">Go to the content</a>
      <header>
        <a class="brand" href="./">orderbridge</a>
        <span>API {spec.value?.info.version}</span>
        <label class="token">Token{" "}
          <input type="password" value={token} autocomplete="off" spellcheck={false} aria-describedby="as" onInput={(e) => setToken((e.target as HTMLInputElement).value)} />
        </label>
        <span id="as" class="quiet">{as.token ? "tries with this token, which is kept nowhere" : session ? `tries as ${session}, who has logged in` : "paste a token to try, or log in"}</span>
      </header>
      <main id="content" tabIndex={-1} class="docs">
        <h1>The management API</h1>
        {spec.failure && <Failure of={spec.failure} again={spec.again} />}
        {!spec.value && spec.asking && <Waits />}
        {spec.value && shown && <>
          <p><Text of={spec.value.info.description} /> <a href="openapi.json">openapi.json</a> describes it for programs.</p>
          <form role="search" class="filters" onSubmit={(e) => e.preventDefault()}>
            <label>Find an operation <input type="search" value={wanted} spellcheck={false} onInput={(e) => setWanted((e.target as HTMLInputElement).value)} /></label>
            <span role="status" class="quiet">{words.length > 0 && (shown.length ? `${shown.reduce((n, g) => n + g.routes.length, 0)} found` : "None is called so.")}</span>
          </form>
          {shown.map((g) => (
            <section aria-labelledby={g.name}>
              <h2 id={g.name}>{g.name}</h2>
              <p class="quiet"><Text of={g.description} /></p>
              {g.routes.map((r) => <Shown key={r.operationId} of={r} spec={spec.value!} as={as} at={at} />)}
            </section>
          ))}
          {!words.length && <Schemas spec={spec.value} at={at} />}
        </>}
      </main>
      <Question />
      <footer><a href="./">The console</a><Theme /></footer>
    </>
  );
}

/** useSession is who has logged in, if somebody has. */
function useSession(): string | undefined {
  const [name, setName] = useState<string>();
  useEffect(() => {
    // Nobody may have: that is no failure of this page.
    fetch("api/session", { headers: ofSession() }).then(async (r) => r.ok && setName(((await r.json()) as Session).name)).catch(() => {});
  }, []);
  return name;
}

/** useAnchor is what stands behind # in the address; what it names is opened and shown. */
function useAnchor(ready: boolean): string {
  const [at, setAt] = useState(location.hash.slice(1));
  useEffect(() => {
    const moved = () => setAt(location.hash.slice(1));
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    if (ready && at) document.getElementById(at)?.scrollIntoView();
  }, [ready, at]);
  return at;
}

/** Opens is a part that opens, by itself where the address names it. */
function Opens({ id, at, summary, children }: { id: string; at: string; summary: ComponentChildren; children: () => ComponentChildren }) {
  const [open, setOpen] = useState(at === id);
  useEffect(() => {
    if (at === id) setOpen(true);
  }, [at]);
  return (
    <details class="attempt" id={id} open={open} onToggle={(e) => setOpen((e.target as HTMLDetailsElement).open)}>
      <summary>{summary}</summary>
      {open && <div class="inside">{children()}</div>}
    </details>
  );
}

function Shown({ of, spec, as, at }: { of: Route; spec: Spec; as: Asker; at: string }) {
  return (
    <Opens id={of.operationId} at={at} summary={<><b class={`method ${of.method}`}>{of.method}</b><span class="id">{of.path}</span><span class="quiet">{of.summary}</span></>}>
      {() => <>
        <h3>{of.summary} <a href={`#${of.operationId}`} aria-label={`Address of ${of.operationId}`}>#</a></h3>
        <p><Text of={of.description} /></p>
        {"basic" in (of.security[0] ?? {}) && <p class="quiet">The token is the user name of Basic authentication, with an empty password.</p>}
        {!!of.parameters?.length && <>
          <h4>Parameters</h4>
          <dl>{of.parameters.map((p) => <>
            <dt><code>{p.name}</code></dt>
            <dd><Text of={p.description} /> <span class="quiet">{p.in}, {kind(spec, p.schema)}{p.required ? ", required" : ""}</span></dd>
          </>)}</dl>
        </>}
        {of.requestBody && <><h4>Body <span class="quiet">{of.requestBody.required ? "required" : "may be empty"}</span></h4><Content of={of.requestBody} spec={spec} /></>}
        <h4>Answers</h4>
        {Object.keys(of.responses).sort().map((status) => <AnswerShown key={status} status={status} of={of.responses[status]!} spec={spec} />)}
        <Try of={of} as={as} />
      </>}
    </Opens>
  );
}

function AnswerShown({ status, of, spec }: { status: string; of: Body; spec: Spec }) {
  const good = status.startsWith("2");
  return (
    <details class="answer" open={good}>
      <summary><b>{status}</b> {of.description}</summary>
      <Content of={of} spec={spec} />
    </details>
  );
}

function Content({ of, spec }: { of: Body; spec: Spec }) {
  return <>{Object.entries(of.content ?? {}).map(([media, { schema, example }]) => (
    <>
      <p class="quiet">{media}{nameOf(schema) ? <>, <a href={`#${idOf(nameOf(schema)!)}`}>{nameOf(schema)}</a></> : ""}</p>
      {!nameOf(schema) && <Members of={schema} spec={spec} />}
      {example !== undefined && <pre tabIndex={0} aria-label="Example">{JSON.stringify(example, null, 2)}</pre>}
    </>
  ))}</>;
}

function Members({ of, spec }: { of: Schema; spec: Spec }) {
  const t = resolve(spec, of);
  if (!t.properties) return t.type === undefined && !t.oneOf ? null : <p class="quiet">{kind(spec, t)}</p>;
  return (
    <dl class="members-of">
      {Object.keys(t.properties).sort().map((name) => {
        const p = t.properties![name]!;
        const items = p.type === "array" ? p.items : undefined;
        const ref = nameOf(p) ?? nameOf(items);
        return <>
          <dt><code>{name}</code></dt>
          <dd>
            <Text of={p.description ?? resolve(spec, p).description} />{" "}
            <span class="quiet">{ref && resolve(spec, { $ref: `#/components/schemas/${ref}` }).properties ? <a href={`#${idOf(ref)}`}>{kind(spec, p)}</a> : kind(spec, p)}{t.required?.includes(name) ? ", required" : ""}{p.default !== undefined ? `, ${JSON.stringify(p.default)} if it is left out` : ""}</span>
            {!ref && p.properties && <Members of={p} spec={spec} />}
          </dd>
        </>;
      })}
    </dl>
  );
}

/** Schemas are what is sent and answered, by name; a part of one stands beside it. */
function Schemas({ spec, at }: { spec: Spec; at: string }) {
  const named = Object.keys(spec.components.schemas).sort().flatMap((name) =>
    [name, ...Object.keys(spec.components.schemas[name]!.$defs ?? {}).map((part) => `${name}/$defs/${part}`)]);
  return (
    <section aria-labelledby="schemas">
      <h2 id="schemas">schemas</h2>
      <p class="quiet">The members of what is sent and answered.</p>
      {named.map((name) => {
        const schema = { $ref: `#/components/schemas/${name}` };
        return (
          <Opens key={name} id={idOf(name)} at={at} summary={<><b>{name.split("/").pop()}</b><span class="quiet">{resolve(spec, schema).description}</span></>}>
            {() => <Members of={schema} spec={spec} />}
          </Opens>
        );
      })}
    </section>
  );
}

render(<Docs />, document.getElementById("console")!);
