import { ask, at, type Letter } from "../api";
import type { PageProps } from "../console";
import { Action, type Progress, Empty, Failure, link, Loaded, More, post, Section, Table, useNow, When, Waits } from "../parts";
import { useAsk, usePages, useTitle } from "../use";
import { count, number } from "../words";

type Whole = Letter & { event?: unknown; truncated?: boolean; deliveryId?: string };

/** DeadLetters lists what was given up, or shows one. */
export function DeadLetters({ place }: PageProps) {
  const one = place.path[1];
  if (one && !/^\d+$/.test(one)) return <><h1><span class="quiet">Dead letter</span> {one}</h1><Missing /></>;
  return one ? <One sequence={one} /> : <List place={place} />;
}

/** redriveAll has those that fit owed again, a hundred at a time, until there are no more. */
export async function redriveAll(filter: Record<string, string>, { tell, signal }: Progress): Promise<Redriven> {
  const all: Redriven = { done: 0, refused: 0 };
  let from: { after?: number; through?: number } = {};
  for (;;) {
    if (signal.aborted) return { ...all, stopped: true };
    tell(`${count(all.done, "dead letter")} redriven${all.refused ? `, ${number(all.refused)} refused` : ""} …`);
    const part = await ask<Redriven & { next: number; through: number }>("POST", "api/v1/dead-letters/redrive", { body: { ...filter, ...from, limit: 100 } });
    all.done += part.done;
    all.refused += part.refused;
    if (!part.more || part.wait || part.next === from.after) return { ...all, more: part.more, wait: part.wait };
    from = { after: part.next, through: part.through };
  }
}

interface Redriven {
  done: number;
  refused: number;
  more?: boolean;
  wait?: boolean; // the subscription owes too much at present
  stopped?: boolean; // by who asked for it
}

export const redriven = (a: Redriven) =>
  `${a.stopped ? "Stopped: " : ""}${count(a.done, "dead letter")} owed again${a.refused ? `, ${number(a.refused)} refused` : ""}${a.stopped ? "; the rest stay dead letters" : a.more ? "; there are more: a subscription is owed too much at present, so redrive the rest later" : ""}.`;

export const redrive = (l: Letter, after: () => void) => (
  <Action label="Redrive" title={`Redrive dead letter ${l.deadLetter}?`} after={after} run={post(at`api/v1/dead-letters/${l.deadLetter}/redrive`)}
    what={<p>The event of order {l.order ?? "(none)"} is owed to <b>{l.subscription}</b> again and sent now, ahead of later events of that order that wait.</p>}
    done={() => "It is owed again."} />
);

function List({ place }: { place: PageProps["place"] }) {
  useTitle("Dead letters");
  useNow(30_000);
  const get = (name: string) => place.search.get(name) ?? "";
  const filter = { subscription: get("subscription"), order: get("order"), reason: get("reason") };
  const list = usePages<Letter>("api/v1/dead-letters", { ...filter, limit: 50 }, "before");
  const filtered = Object.values(filter).some(Boolean);
  const show = (e: Event) => {
    e.preventDefault();
    const q = new URLSearchParams();
    for (const [name, value] of new FormData(e.target as HTMLFormElement)) if (String(value).trim()) q.set(name, String(value).trim());
    location.hash = `#/dead-letters?${q}`;
  };
  return (
    <>
      <h1>Dead letters</h1>
      <form class="filters" onSubmit={show} key={place.search.toString()}>
        {Object.entries(filter).map(([name, value]) => <label>{name[0]!.toUpperCase() + name.slice(1)} <input name={name} defaultValue={value} spellcheck={false} /></label>)}
        <button>Filter</button>
      </form>
      <Section title={filtered ? "Matching dead letters, newest first" : "All dead letters, newest first"} aside={!!list.items?.length && (
        <Action label="Redrive all" title={filtered ? "Redrive all matching dead letters?" : "Redrive all dead letters?"} after={list.again}
          stops run={(p) => redriveAll(Object.fromEntries(Object.entries(filter).filter(([, v]) => v)), p)}
          what={<p>{filtered ? "All dead letters that match the filter" : "All dead letters"} are owed again to their subscriptions, oldest first, and sent now. Those of one order are sent one after another.</p>}
          done={redriven} />
      )}>
        {list.failure && <Failure of={list.failure} again={list.again} />}
        {!list.items && list.asking && <Waits />}
        {list.items?.length === 0 && !list.more && <Empty>{filtered ? <>No dead letter matches. <a href="#/dead-letters">Show all</a></> : "There are no dead letters: no delivery was given up."}</Empty>}
        {!!list.items?.length && (
          <Table name="Dead letters" columns={["Time", "Subscription", "Order", "#Attempts", "Reason", ""]}>
            {list.items.map((l) => (
              <tr key={l.deadLetter}>
                <td><a href={link.letter(l.deadLetter)}><When at={l.time} /></a></td>
                <th scope="row"><a href={link.subscription(l.subscription)}>{l.subscription}</a></th>
                <td>{l.order ? <a href={link.order(l.order)}>{l.order}</a> : "–"}</td>
                <td class="n">{l.attempts}</td>
                <td class="wide">{l.reason}</td>
                <td>{redrive(l, list.again)}</td>
              </tr>
            ))}
          </Table>
        )}
        <More of={list} />
      </Section>
    </>
  );
}

const Missing = () => <Empty>There is no such dead letter: it was redriven or removed, or belongs to another tenant. See <a href="#/dead-letters">all dead letters</a>.</Empty>;

function One({ sequence }: { sequence: string }) {
  useTitle(`Dead letter ${sequence}`);
  const letter = useAsk<Whole>(at`api/v1/dead-letters/${sequence}`);
  return (
    <>
      <h1><span class="quiet">Dead letter</span> {sequence}</h1>
      {letter.failure?.status === 404 ? <Missing />
        : <Loaded of={letter}>{(l) => <>
          <p class="verdict bad">{l.reason}</p>
          <dl>
            <dt>Subscription</dt><dd><a href={link.subscription(l.subscription)}>{l.subscription}</a></dd>
            {l.order && <><dt>Order</dt><dd><a href={link.order(l.order)}>{l.order}</a></dd></>}
            <dt>Dead letter since</dt><dd><When at={l.time} /> after {count(l.attempts, "attempt")}{l.lastStatus ? `, last status ${l.lastStatus}` : ""}</dd>
            <dt>Event</dt><dd>sequence {l.sequence} of {l.stream}</dd>
          </dl>
          <div class="buttons">
            {redrive(l, letter.again)}
            <Action label="Remove" danger title={`Remove dead letter ${l.deadLetter}?`} after={letter.again}
              run={() => ask("DELETE", at`api/v1/dead-letters/${l.deadLetter}`)}
              what={<p><b>It is gone for good</b>: {l.subscription} never gets this event of order {l.order ?? "(none)"}, unless somebody replays it.</p>}
              done={() => "It is removed."} />
          </div>
          <Section title="Event">{l.event ? <pre tabIndex={0}>{JSON.stringify(l.event, null, 2)}</pre> : <Empty>{l.truncated ? "The event was too large to be kept." : "The event was not kept."}</Empty>}</Section>
        </>}</Loaded>}
    </>
  );
}
