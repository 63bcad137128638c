import { useEffect, useState } from "preact/hooks";
import { ask, query, type Page, type SubscriptionFigures, type Verdict } from "../api";
import type { PageProps } from "../console";
import { Empty, Failure, link, Live, More, Section, State, Table, useNow, When, Waits } from "../parts";
import { usePages, useSoon, useStatuses, useTitle } from "../use";
import { lasts, number, percent, rate } from "../words";

const states = ["active", "retrying", "reading", "suspended", "paused", "deactivated", "invalid", "deleted"];

/** Subscriptions lists them with what the bridge says of each, and how each does. */
export function Subscriptions({ place, session }: PageProps) {
  useTitle("Subscriptions");
  useNow(30_000);
  const get = (name: string) => place.search.get(name) ?? "";
  const filter = { state: get("state"), id: get("id"), tenant: get("tenant"), label: get("label") };
  const list = usePages<Verdict>("api/v1/statuses", { ...filter, limit: 50 }, "after");
  const [said, setSaid] = useState(new Map<string, Verdict>()); // of those shown, since
  const items = list.items?.map((v) => newer(v, said.get(v.id)));
  const [more, setMore] = useState(false);
  const soon = useSoon(() => (list.deep ? setMore(true) : list.asking || list.again()));
  const live = useStatuses((came, missed) => {
    const shown = new Set(list.items?.map((v) => v.id));
    const own = came.filter((v) => shown.has(v.id)).reverse(); // the newest last
    if (own.length) setSaid((was) => new Map([...[...was].filter(([id]) => shown.has(id)), ...own.map((v) => [v.id, v] as const)]));
    if (missed || came.some((v) => !shown.has(v.id) && v.state === filter.state && v.id.includes(filter.id))) soon();
  });
  const again = () => {
    setMore(false);
    list.again();
  };
  const figures = useFigures((items ?? []).filter((v) => v.state !== "deleted").map((v) => v.id));
  const filtered = Object.values(filter).some(Boolean);
  const show = (form: HTMLFormElement) => {
    const q = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (String(value).trim()) q.set(name, String(value).trim());
    location.hash = `#/subscriptions?${q}`;
  };
  return (
    <>
      <h1>Subscriptions</h1>
      <form class="filters" key={place.search.toString()} onSubmit={(e) => { e.preventDefault(); show(e.target as HTMLFormElement); }}>
        <label>State{" "}
          <select name="state" value={filter.state} onChange={(e) => show((e.target as HTMLSelectElement).form!)}>
            <option value="">any</option>
            {states.map((s) => <option>{s}</option>)}
          </select>
        </label>
        <label>Id contains <input name="id" defaultValue={filter.id} spellcheck={false} /></label>
        {session.role === "operator" && <label>Tenant <input name="tenant" defaultValue={filter.tenant} spellcheck={false} /></label>}
        <label>Label <input name="label" defaultValue={filter.label} placeholder="name or name=value" spellcheck={false} /></label>
        <button>Filter</button>
      </form>
      <Section title={filtered ? "Matching subscriptions" : "All subscriptions"} aside={<>
        {more && <><span role="status">States have changed.</span> <button type="button" onClick={again}>Refresh</button></>}
        <Live of={live} />{!session.reads && <a class="button main" href="#/new">New subscription</a>}</>}>
        {list.failure && <Failure of={list.failure} again={list.again} />}
        {!items && list.asking && <Waits />}
        {items?.length === 0 && (
          list.more ? <Empty>None among those looked at so far; there are more.</Empty>
            : filtered ? <Empty>No subscription matches. <a href="#/subscriptions">Show all</a></Empty>
            : <Empty>There are no subscriptions yet. {session.reads ? "" : <a href="#/new">Create the first one</a>}</Empty>
        )}
        {!!items?.length && (
          <Table name="Subscriptions" columns={["Subscription", "State", "Since", "#Per minute", "#Success", "#Latency p50 / p99", "#Owed", "Details"]}>
            {items.map((v) => {
              const f = figures.get(v.id);
              const attempts = f ? f.delivered + f.failed : 0;
              const about = f?.estimated ? "≈\u00a0" : "";
              return (
                <tr key={v.id}>
                  <th scope="row"><a href={link.subscription(v.id)}>{v.id}</a></th>
                  <td><State of={v.state} /></td>
                  <td><When at={v.since} since /></td>
                  <td class="n">{f ? about + rate(f.delivered / 60) : "–"}</td>
                  <td class="n">{attempts ? about + percent(f!.delivered / attempts) : "–"}</td>
                  <td class="n">{f?.latency.p99 ? `${lasts(f.latency.p50)} / ${lasts(f.latency.p99)}` : "–"}</td>
                  <td class="n">{f ? number(f.owed) + (f.moreOwed ? "+" : "") : "–"}</td>
                  <td class="wide">{v.reason ?? (v.warnings?.length ? `${v.warnings[0]!.field ?? ""} ${v.warnings[0]!.message}` : v.hears ?? "–")}</td>
                </tr>
              );
            })}
          </Table>
        )}
        <More of={list} />
        {!!items?.length && <p class="quiet">Of the last hour: deliveries per minute, success of attempts, end-to-end latency from publication to delivery. Owed: orders that wait for delivery.</p>}
      </Section>
    </>
  );
}

/** newer is what was said last of a subscription. */
function newer(listed: Verdict, said?: Verdict): Verdict {
  return said && !(Date.parse(said.since ?? "") < Date.parse(listed.since ?? "")) ? said : listed;
}

const atOnce = 50; // subscriptions

/** useFigures asks how each of the ids does, again every 15 seconds; without a delivery log it tells nothing. */
function useFigures(ids: string[]): Map<string, SubscriptionFigures> {
  const [figures, setFigures] = useState(new Map<string, SubscriptionFigures>());
  const of = ids.join();
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const run = async () => {
      try {
        for (let i = 0; i < ids.length && !document.hidden; i += atOnce) {
          const page = await ask<Page<SubscriptionFigures>>("GET", query("api/v1/figures/subscriptions", { ids: ids.slice(i, i + atOnce).join() }), { signal: stop.signal });
          setFigures((was) => new Map([...was, ...page.items.map((f) => [f.subscription, f] as const)]));
        }
      } catch {
        // the list stands without them
      }
      if (!stop.signal.aborted) timer = window.setTimeout(run, 15_000);
    };
    if (ids.length) void run();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [of]);
  return figures;
}
