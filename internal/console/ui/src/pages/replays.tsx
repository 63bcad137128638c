import { ask, at, query, type Page, type Replay } from "../api";
import type { PageProps } from "../console";
import { Action, Empty, link, Loaded, Section, State, Table, useNow, When } from "../parts";
import { useAsk, useTitle } from "../use";
import { count, number, percent } from "../words";

/** Replays are those that run and those that have ended lately. */
export function Replays(_: PageProps) {
  useTitle("Replays");
  useNow(30_000);
  return (
    <>
      <h1>Replays</h1>
      <ReplaysOf />
    </>
  );
}

/** ReplaysOf lists those of one subscription, or all. */
export function ReplaysOf({ subscription }: { subscription?: string }) {
  const list = useAsk<Page<Replay>>(query("api/v1/replays", { subscription }), 3_000);
  return (
    <Section title={subscription ? "Replays" : "Newest first"}>
      <Loaded of={list}>{(l) => l.items.length ? (
        <Table name="Replays" columns={["Requested", ...(subscription ? [] : ["Subscription"]), "State", "Scope", "Progress", "#Sent", "#Dead letters", "Requested by", ""]}>
          {l.items.map((r) => (
            <tr key={r.id}>
              <th scope="row"><When at={r.asked} /></th>
              {!subscription && <td><a href={link.subscription(r.subscription)}>{r.subscription}</a></td>}
              <td><State of={r.state} /></td>
              <td class="wide">{[r.order && `order ${r.order}`, r.eventType, `sequences ${number(r.from)} to ${number(r.until)}`, r.rate, r.why ?? r.lastError].filter(Boolean).join(" · ")}</td>
              <td><Progress of={r} /></td>
              <td class="n">{number(r.sent)}</td>
              <td class="n">{number(r.failed)}</td>
              <td>{r.by ?? "–"}</td>
              <td>{r.state === "running" && (
                <Action label="Stop" danger title={`Stop replay ${r.id}?`} after={list.again} run={() => ask("DELETE", at`api/v1/replays/${r.id}`)}
                  what={<p>The rest is not sent to {r.subscription}. What was already sent ({count(r.sent, "event")}) stays sent, and live traffic goes on.</p>}
                  done={() => "It is stopped."} />
              )}</td>
            </tr>
          ))}
        </Table>
      ) : <Empty>{subscription ? "No replays. The button Replay sends past events again." : <>No replays. The button Replay on the page of <a href="#/subscriptions">a subscription</a> sends past events again.</>}</Empty>}</Loaded>
    </Section>
  );
}

function Progress({ of }: { of: Replay }) {
  const whole = of.until - of.from + 1;
  const share = of.state === "done" || whole <= 0 ? 1 : Math.min(Math.max((of.next - of.from) / whole, 0), 1);
  return <><progress max={1} value={share} aria-label={`Progress of replay ${of.id}`} /> <span class="quiet">{percent(share)}</span></>;
}
