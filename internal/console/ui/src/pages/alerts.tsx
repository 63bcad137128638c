import { useState } from "preact/hooks";
import type { Alert } from "../api";
import type { PageProps } from "../console";
import { Empty, Failure, link, Live, More, Section, State, Table, useNow, When, Waits } from "../parts";
import { useAlerts, usePages, useSoon, useTitle } from "../use";
import { lasts, number } from "../words";

/** Alerts are what the bridge wanted somebody to be told: each from its begin to its end. */
export function Alerts(_: PageProps) {
  useTitle("Alerts");
  useNow(30_000);
  const list = usePages<Alert>("api/v1/alerts", { limit: 100 }, "before");
  const [came, setCame] = useState<Alert[]>([]);
  const [more, setMore] = useState(false);
  const soon = useSoon(() => (list.deep ? setMore(true) : list.asking || list.again()));
  const live = useAlerts((alerts, missed) => {
    setCame((was) => [...alerts, ...was].slice(0, 200));
    if (missed) soon();
  });
  const again = () => {
    setMore(false);
    list.again();
  };
  const known = new Set(list.items?.map((a) => a.sequence));
  const troubles = list.items && joined([...came.filter((a) => !known.has(a.sequence)), ...list.items]);
  return (
    <>
      <h1>Alerts</h1>
      <Section title="Newest first" aside={<>
        {more && <><span role="status">There are newer alerts.</span> <button type="button" onClick={again}>Refresh</button></>}
        <Live of={live} />
      </>}>
        {list.failure?.status === 404 ? <Empty>There is no stream of alerts, so none are kept.</Empty> : list.failure && <Failure of={list.failure} again={list.again} />}
        {!troubles && list.asking && <Waits />}
        {troubles?.length === 0 && !list.more && <Empty>No alerts. To get them in Slack, Teams or PagerDuty, create a subscription with <code>"source": "alerts"</code>.</Empty>}
        {!!troubles?.length && (
          <Table name="Alerts" columns={["Started", "Ended", "Kind", "Subscription", "#Count", "Message"]}>
            {troubles.map(({ begin, end, times }) => {
              const a = begin ?? end!;
              return (
                <tr key={a.sequence}>
                  <td><When at={begin ? begin.since ?? begin.time : end!.since} /></td>
                  <td>{end ? <><When at={end.time} />{begin && <span class="quiet"> after {lasts(new Date(end.time).getTime() - new Date(begin.since ?? begin.time).getTime())}</span>}</> : a.key && lasting.has(a.kind) ? <b>ongoing</b> : "–"}</td>
                  <td><State of={a.kind} /></td>
                  <th scope="row">{a.subscription.startsWith("_") ? "the bridge" : <a href={link.subscription(a.subscription)}>{a.subscription}</a>}</th>
                  <td class="n">{number(times)}</td>
                  <td class="wide">{a.text}</td>
                </tr>
              );
            })}
          </Table>
        )}
        <More of={list} />
      </Section>
    </>
  );
}

// Kinds of what lasts until the bridge says that it is over.
const lasting = new Set(["suspended", "invalid", "retention", "dead-lettered"]);

interface Trouble {
  begin?: Alert;
  end?: Alert;
  times: number;
}

/** joined puts begin and end of the same thing together, and what came several times; the newest first. */
function joined(items: Alert[]): Trouble[] {
  const out: Trouble[] = [];
  const open = new Map<string, Trouble>(); // whose begin may come yet: items go back in time
  for (const a of items) {
    const key = a.key ?? `alone ${a.sequence}`;
    const of = open.get(key);
    if (a.over) {
      const t = { end: a, times: 0 };
      out.push(t);
      open.set(key, t);
    } else if (of) {
      of.begin = a; // the earliest of them
      of.times += a.count ?? 1;
    } else {
      const t = { begin: a, times: a.count ?? 1 };
      out.push(t);
      open.set(key, t);
    }
  }
  return out.map((t) => ({ ...t, times: Math.max(t.times, t.end?.count ?? 0, 1) }));
}
