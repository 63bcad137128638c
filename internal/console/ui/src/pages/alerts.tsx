import { useState } from "preact/hooks";
import type { Alert } from "../api";
import type { PageProps } from "../console";
import { Empty, Failure, link, Live, More, Section, State, Table, useNow, When, Waits } from "../parts";
import { useAlerts, usePages, useSoon, useTitle } from "../use";
import { joined, lasting, ofBridge } from "../troubles";
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
            {troubles.map(({ begin, end, last, says, times }) => {
              const a = begin ?? end!;
              return (
                <tr key={a.sequence}>
                  <td><When at={begin ? begin.since ?? begin.time : end!.since} /></td>
                  <td>{end ? <><When at={end.time} />{begin && <span class="quiet"> after {lasts(new Date(end.time).getTime() - new Date(begin.since ?? begin.time).getTime())}</span>}</> : a.key && lasting.has(a.kind) ? <b>ongoing</b> : last ? <span class="quiet">last one <When at={last.time} /></span> : "–"}</td>
                  <td><State of={a.kind} /></td>
                  <th scope="row">{ofBridge(a) ? "the bridge" : <a href={link.subscription(a.subscription)}>{a.subscription}</a>}</th>
                  <td class="n">{number(times)}</td>
                  <td class="wide">{says}</td>
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
