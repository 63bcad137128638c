// The shell: who has logged in, where the reader is, and what stands around each page.
import "./safe";
import { render, type VNode } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, Failure as Failed, onLoggedOut, type Session } from "./api";
import { Failure, MayChange, Question, question, type Act } from "./parts";
import { forget, leaving, Lost } from "./leaving";
import { answered, Login, logout, tokenOfAddress, withAnswer, withToken } from "./login";
import { Alerts } from "./pages/alerts";
import { Audit } from "./pages/audit";
import { DeadLetters } from "./pages/letters";
import { Events } from "./pages/events";
import { New } from "./pages/new";
import { Order } from "./pages/order";
import { Overview } from "./pages/overview";
import { Replays } from "./pages/replays";
import { Search } from "./pages/search";
import { Subscription } from "./pages/subscription";
import { Subscriptions } from "./pages/subscriptions";
import { Theme } from "./theme";
import { usePlace, useTitle, type Place } from "./use";
import { zone } from "./words";

export interface PageProps {
  place: Place;
  session: Session;
}

// The pages, as they stand in the navigation; those without a name do not.
const pages: { path: string; name?: string; operators?: boolean; page: (p: PageProps) => VNode; inner?: (p: PageProps) => VNode }[] = [
  { path: "", name: "Overview", page: Overview },
  { path: "subscriptions", name: "Subscriptions", page: Subscriptions, inner: Subscription },
  { path: "events", name: "Events", page: Events },
  { path: "dead-letters", name: "Dead letters", page: DeadLetters, inner: DeadLetters },
  { path: "alerts", name: "Alerts", page: Alerts },
  { path: "replays", name: "Replays", page: Replays },
  { path: "audit", name: "Audit", page: Audit, operators: true },
  { path: "orders", page: Search, inner: Order },
  { path: "search", page: Search },
  { path: "new", page: New },
];

function Console() {
  const [session, setSession] = useState<Session | null>();
  const [why, setWhy] = useState("");
  const [out, setOut] = useState(false); // the session has ended; the page stays as it is, for who logs in again
  const [failure, setFailure] = useState<Failed>();
  const begin = async () => {
    setFailure(undefined);
    const given = tokenOfAddress();
    const returned = answered();
    try {
      setSession(returned ? await withAnswer() : await ask<Session>("GET", "api/session").catch((e: Failed) => {
        if (!given || e.status !== 401) throw e;
        return withToken(given);
      }));
      setOut(false);
    } catch (e) {
      const f = e as Failed;
      if (returned && f.status) {
        setSession(null);
        setWhy(f.message);
      } else if (f.status !== 401) setFailure(f);
      else if (given) setWhy(f.message);
    }
  };
  const focused = useRef<Element | null>(null);
  useEffect(() => {
    let known = false;
    onLoggedOut((said) => {
      if (document.activeElement !== document.body) focused.current ??= document.activeElement;
      for (const open of document.querySelectorAll("dialog[open]")) (open as HTMLDialogElement).close(); // it would keep who logs in out
      setSession((s) => {
        known ||= !!s;
        return s ?? null;
      });
      setOut(true);
      if (known) setWhy(said);
    });
    void begin();
    const moved = () => location.hash.startsWith("#token=") && begin();
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    if (out) return;
    (focused.current as HTMLElement | null)?.focus();
    focused.current = null;
  }, [out]);
  useEffect(() => {
    if (!failure?.passes) return;
    const timer = setTimeout(begin, 5_000);
    return () => clearTimeout(timer);
  }, [failure]);
  if (failure) return <main class="login"><h1>orderbridge</h1><Failure of={failure} again={begin} /></main>;
  if (session === undefined) return <main class="login"><p role="status">Loading …</p></main>;
  const enter = (s: Session) => {
    setWhy("");
    setOut(false);
    setSession(s);
  };
  return (
    <>
      {(out || session === null) && <Login why={why} enter={enter} />}
      {session && (
        <div class="shell" hidden={out}>
          <Shell key={JSON.stringify([session.name, session.role, session.tenant, session.reads])} session={session} leave={(said) => { setWhy(said); setSession(null); }} />
        </div>
      )}
    </>
  );
}

function Shell({ session, leave }: { session: Session; leave: (said: string) => void }) {
  const place = usePlace();
  const main = useRef<HTMLElement>(null);
  const [menu, setMenu] = useState(false); // of a phone
  const first = useRef(true);
  const at = place.path.join("/");
  useEffect(() => {
    scrollTo(0, 0);
    setMenu(false);
    if (!first.current) main.current?.focus({ preventScroll: true }); // so that a reader of the screen hears the new page
    first.current = false;
  }, [at]);
  const entry = pages.find((p) => p.path === (place.path[0] ?? ""));
  const Page = place.path.length > 1 ? entry?.inner : entry?.page;
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>Go to the content</a>
      <header>
        <a class="brand" href="#/">orderbridge</a>
        <button type="button" class="menu" aria-expanded={menu} aria-controls="pages" onClick={() => setMenu(!menu)}>Menu</button>
        <nav id="pages" class={menu ? "open" : ""} aria-label="Pages">
          {pages.filter((p) => p.name && (!p.operators || session.role === "operator")).map((p) => (
            <a href={`#/${p.path}`} aria-current={entry === p ? "page" : undefined}>{p.name}</a>
          ))}
        </nav>
        <form role="search" class="search" onSubmit={(e) => {
          e.preventDefault();
          const q = (e.target as HTMLFormElement).q.value.trim();
          if (q) location.hash = `#/search?q=${encodeURIComponent(q)}`;
        }}>
          <input name="q" type="search" aria-label="Search for an order, an event or a subscription" placeholder="Order, event or subscription" spellcheck={false} />
        </form>
      </header>
      <main ref={main} id="main" tabIndex={-1}>
        {Page ? <MayChange.Provider value={!session.reads}><Page key={at} place={place} session={session} /></MayChange.Provider> : <Nowhere />}
      </main>
      <Question />
      <footer>
        <span>{[session.name, session.tenant ? `tenant ${session.tenant}` : session.name !== session.role && session.role, session.reads && "read only"].filter(Boolean).join(", ")}</span>
        <button type="button" class="plain" onClick={() => leaving(() => logout().then(leave))}>Log out</button>
        <button type="button" class="plain" onClick={() => question(endAll(session.name, leave))}>End all sessions</button>
        <Theme />
        <span>Times in {zone}</span>
        <a href="docs">API docs</a>
        <span>{session.version}</span>
      </footer>
    </>
  );
}

function Nowhere() {
  useTitle("Not found");
  return <><h1>There is no such page</h1><p>Go to the <a href="#/">overview</a>.</p></>;
}

const endAll = (name: string, leave: (said: string) => void): Act => ({
  label: "End all sessions", title: `End all sessions of ${name}?`, danger: true,
  what: <><p>Everybody who is logged in as {name} is logged out, in every browser, this one too.</p><Lost /></>,
  run: async () => { forget(); leave(await logout(true)); }, done: () => "They are ended.",
});

render(<Console />, document.getElementById("console")!);
