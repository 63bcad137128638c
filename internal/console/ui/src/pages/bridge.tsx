// How the bridge and the bus do, as the overview shows it to operators.
import type { Alert, Overview, Page } from "../api";
import { now } from "../clock";
import { State, Table, When } from "../parts";
import { useAsk } from "../use";
import { joined } from "../troubles";
import { count, number, time } from "../words";

// What the bridge says of the bus and of its own state there.
const busKinds = ["bus", "state", "stream-changed", "missed"];

/** Bus says how the bus does: that it answers, and what the bridge has found wrong there in the last day. */
export function Bus({ of }: { of: Overview }) {
  const alerts = useAsk<Page<Alert>>("api/v1/alerts?limit=100", 10_000);
  const day = now() - 86_400_000;
  const wrong = joined((alerts.value?.items ?? []).filter((a) => busKinds.includes(a.kind) && !a.over && new Date(a.time).getTime() > day));
  return (
    <>
      <p>The bus answers. Stream <b>{of.stream}</b>: last sequence {number(of.last)}. {count(of.replicas.length, "replica")} of the bridge up. {!alerts.failure && alerts.value && !wrong.length && "No alert about the bus in the last 24 hours."}</p>
      {wrong.slice(0, 5).map(({ begin, last, times }) => <p class="failure" key={begin!.sequence}><When at={(last ?? begin!).time} /> {begin!.text}{times > 1 && ` (${count(times, "time")}, first at ${time(begin!.time)})`}</p>)}
    </>
  );
}

/** LeaderTable says who leads each shard. */
export function LeaderTable({ of }: { of: Overview }) {
  return (
    <Table name="Leaders" columns={["Shard", "Leader", "State", "Since", "#Owed deliveries", "Oldest published", "#Events behind"]}>
      {of.shards.map((s) => (
        <tr key={s.shard}>
          <th scope="row">{s.shard}</th>
          <td>{s.leader ?? "none"}</td>
          <td><State of={s.silent ? "silent" : s.role ?? "no leader"} /></td>
          <td><When at={s.since} since /></td>
          <td class="n">{s.owed === undefined ? "–" : number(s.owed)}</td>
          <td><When at={s.oldest} since /></td>
          <td class="n">{number(s.lag)}</td>
        </tr>
      ))}
    </Table>
  );
}
