import { useState } from "preact/hooks";
import { ask, type Failure as Failed, type StreamEvent } from "../api";
import type { PageProps } from "../console";
import { Empty, Failure, link, Live, More, Section, State, useNow, When, Waits } from "../parts";
import { useEvents, usePages, useSoon, useTitle } from "../use";
import { count, size } from "../words";

interface Explanation {
  subscription: string;
  state?: string;
  hears: boolean;
  decided?: string;
  why: string;
}
interface Explained {
  hearing?: Explanation[];
  others?: Explanation[];
  count: number;
}

/** Events are the newest of the stream, as they come, each with who hears it. */
export function Events(_: PageProps) {
  useTitle("Events");
  useNow(30_000);
  const [on, setOn] = useState(true);
  const list = usePages<StreamEvent>("api/v1/events", { limit: 50 }, "before");
  const [came, setCame] = useState<StreamEvent[]>([]);
  const soon = useSoon(() => list.deep || list.asking || list.again());
  const live = useEvents(on, (entries, missed) => {
    setCame((was) => [...entries, ...was].slice(0, 200));
    if (missed) soon();
  });
  const newest = list.items?.[0]?.sequence ?? 0;
  const items = list.items && [...came.filter((e) => e.sequence > newest), ...list.items];
  return (
    <>
      <h1>Events</h1>
      <Section title="Newest first" aside={<>
        <Live of={live} off="live view stopped" />
        <button type="button" onClick={() => { setOn(!on); if (!on) { setCame([]); list.again(); } }}>{on ? "Stop" : "Go live"}</button>
      </>}>
        {list.failure && <Failure of={list.failure} again={list.again} />}
        {!items && list.asking && <Waits />}
        {items?.length === 0 && !list.more && <Empty>There are no events in the stream yet. Publish one: <code>orderbridge publish FILE</code></Empty>}
        <div class="attempts">{items?.map((e) => <Item key={e.sequence} of={e} />)}</div>
        <More of={list} />
      </Section>
    </>
  );
}

function Item({ of }: { of: StreamEvent }) {
  const [open, setOpen] = useState(false);
  return (
    <details class="attempt" onToggle={(e) => setOpen((e.target as HTMLDetailsElement).open)}>
      <summary>
        <When at={of.published} />
        <b>{of.eventType ?? "event"}</b>
        <span class="id">{of.order ?? of.eventId}</span>
        <span class="quiet">sequence {of.sequence} · {of.subject} · {size(of.bytes)}{of.tenant ? ` · tenant ${of.tenant}` : ""}</span>
      </summary>
      {open && (
        <div class="inside">
          {of.order && <p><a href={link.order(of.order)}>Order {of.order}: timeline and status</a></p>}
          <Hearing of={of} />
          <h3>Data</h3>
          {of.data ? <pre tabIndex={0}>{of.data}</pre> : <p class="quiet">Not text, so it is not shown.</p>}
        </div>
      )}
    </details>
  );
}

function Hearing({ of }: { of: StreamEvent }) {
  const [said, setSaid] = useState<Explained>();
  const [failure, setFailure] = useState<Failed>();
  const explain = async () => {
    setFailure(undefined);
    try {
      setSaid(await ask<Explained>("POST", "api/v1/explain", { body: { sequence: of.sequence, others: 20, limit: 50 } }));
    } catch (e) {
      setFailure(e as Failed);
    }
  };
  if (failure) return <Failure of={failure} again={explain} />;
  if (!said) return <p><button type="button" onClick={explain}>Who hears it?</button></p>;
  return (
    <>
      <h3>{said.count === 0 ? "No subscription hears it" : `${count(said.count, "subscription")} match${said.count === 1 ? "es" : ""} it`}</h3>
      <ul>
        {[...(said.hearing ?? []), ...(said.others ?? [])].map((x) => (
          <li><State of={x.hears ? "hears it" : "does not hear it"} /> <a href={link.subscription(x.subscription)}>{x.subscription}</a>{!x.hears && `: ${x.why}`}</li>
        ))}
      </ul>
    </>
  );
}
