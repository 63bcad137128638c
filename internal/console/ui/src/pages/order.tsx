import type { ComponentChildren } from "preact";
import { query, type OrderStory } from "../api";
import type { PageProps } from "../console";
import { Action, AttemptItem, Empty, link, Loaded, post, Section, State, Table, useNow, When } from "../parts";
import { useAsk, useTitle } from "../use";
import { ago, count, local } from "../words";
import { Activate, Resume, RetryNow, Skip } from "./actions";
import { redrive } from "./letters";

/** Order tells an order's story over all subscriptions. */
export function Order({ place, session }: PageProps) {
  const id = place.path[1]!;
  useTitle(`Order ${id}`);
  useNow(30_000);
  const story = useAsk<OrderStory>(query("api/v1/orders", { order: id }), 5_000);
  const after = () => {
    story.again();
    setTimeout(story.again, 1_500); // what was mended is sent meanwhile
  };
  return (
    <>
      <h1><span class="quiet">Order</span> {id}</h1>
      <Loaded of={story}>{(s) => <Story of={s} commands={session.role === "operator"} after={after} />}</Loaded>
    </>
  );
}

// How bad a fate is, in the words of states.
const fates: Record<string, string> = { delivered: "delivered", owed: "owed", dead: "dead" };

function Story({ of, commands, after }: { of: OrderStory; commands: boolean; after: () => void }) {
  const nothing = !of.events.length && !of.standings.length && !of.attempts?.length;
  const unheard = of.standings.filter((s) => s.fate === "not heard");
  const heard = of.standings.filter((s) => s.fate !== "not heard");
  const any = (...fates: string[]) => of.standings.some((s) => fates.includes(s.fate));
  return (
    <>
      <p role="status" class={`verdict ${any("dead") ? "bad" : of.owed.length || any("owed", "unknown") ? "busy" : any("delivered") ? "good" : "off"}`}>{local(of.says[0]!.toUpperCase() + of.says.slice(1))}.</p>
      {nothing && <Empty>No event in the stream, no attempt and no dead letter belongs to this order. Ids must match exactly: check upper and lower case.</Empty>}
      {!!of.owed.length && (
        <div class="buttons">
          <Action label="Retry now" title={`Retry order ${of.order} now?`} after={after} run={post("api/v1/retry-now", { order: of.order })}
            what={<p>Its waiting ends: the next attempt is made now, for each subscription that is owed this order.</p>}
            done={(a) => a.orders ? "It is being sent." : "It was not waiting."} />
        </div>
      )}
      {!!of.standings.length && (
        <Section title="Now">
          {!!heard.length && <Standings of={heard} story={of} commands={commands} after={after} />}
          {!!unheard.length && (
            <details open={!heard.length}>
              <summary>{count(unheard.length, "subscription")} {unheard.length === 1 ? "does" : "do"} not hear it</summary>
              <Standings of={unheard} story={of} commands={commands} after={after} />
            </details>
          )}
        </Section>
      )}
      <Timeline of={of} />
      {of.remarks?.map((r) => <p class="quiet">{local(r)}</p>)}
    </>
  );
}

function Standings({ of, story, commands, after }: { of: OrderStory["standings"]; story: OrderStory; commands: boolean; after: () => void }) {
  return (
    <Table name="Now, by subscription" columns={["Subscription", "State", "Details", "Time", "Next step"]}>
      {of.map((s) => (
        <tr key={s.subscription}>
          <th scope="row"><a href={link.subscription(s.subscription)}>{s.subscription}</a></th>
          <td><State of={fates[s.fate] ?? s.fate} /></td>
          <td class="wide">{local(s.says)}</td>
          <td><When at={s.time} /></td>
          <td class="next"><Mend of={s} story={story} commands={commands} after={after} /></td>
        </tr>
      ))}
    </Table>
  );
}

/** Mend is what can be done about a standing. */
function Mend({ of, story, commands, after }: { of: OrderStory["standings"][number]; story: OrderStory; commands: boolean; after: () => void }) {
  const id = of.subscription;
  const letter = of.fate === "dead" ? story.deadLetters.find((l) => l.deadLetter === of.deadLetter) : undefined;
  const lane = of.fate === "owed" ? story.owed.find((d) => d.subscription === id)?.lane : undefined;
  const mends = letter || lane || (of.fate !== "delivered" && ["paused", "suspended", "deactivated", "invalid"].includes(of.state ?? "")) || of.deadLetter;
  if (!mends && !(commands && of.remedy)) return null;
  return (
    <>
      <div class="mend">
        {letter && redrive(letter, after)}
        {of.fate !== "delivered" && of.state === "paused" && <Resume id={id} after={after} />}
        {of.fate !== "delivered" && of.state === "suspended" && <RetryNow id={id} after={after} />}
        {of.fate !== "delivered" && of.state === "deactivated" && <Activate id={id} after={after} />}
        {lane && <Skip id={id} lane={lane} after={after} />}
        {of.fate !== "delivered" && of.state === "invalid" && <a href={link.subscription(id)}>Correct the record</a>}
        {of.deadLetter && <a href={link.letter(of.deadLetter)}>Dead letter {of.deadLetter}</a>}
      </div>
      {commands && of.remedy && <details class="quiet"><summary>As a command</summary><code>{of.remedy}</code></details>}
    </>
  );
}

interface Moment {
  key: string;
  at: string;
  level: "good" | "busy" | "bad" | "off";
  what: ComponentChildren;
}

const levels: Record<string, Moment["level"]> = { delivered: "good", failed: "busy", dead: "bad" };

/** Timeline puts all that befell the order in one line of time, the newest first: what is to come stands on top. */
function Timeline({ of }: { of: OrderStory }) {
  const moments: Moment[] = [
    ...of.owed.flatMap(({ subscription, lane }): Moment[] => lane?.head.next && !lane.head.next.startsWith("0001-") ? [{ key: `next ${subscription} ${lane.key} ${lane.redrive ?? ""}`, at: lane.head.next, level: "off", what: <p>next attempt for <a href={link.subscription(subscription)}>{subscription}</a>, {ago(lane.head.next)}</p> }] : []),
    ...(of.attempts ?? []).map((a) => ({ key: `attempt ${a.entry}`, at: a.time, level: levels[a.outcome] ?? "off", what: <AttemptItem of={a} key={a.entry} ofOrder /> })),
    ...of.deadLetters.map((l): Moment => ({ key: `letter ${l.deadLetter}`, at: l.time, level: "bad", what: <p><When at={l.time} /> dead letter for <a href={link.subscription(l.subscription)}>{l.subscription}</a>: <a href={link.letter(l.deadLetter)}>dead letter {l.deadLetter}</a>, {l.reason}</p> })),
    ...of.events.map((e): Moment => ({ key: `event ${e.sequence}`, at: e.published, level: "off", what: <Published of={e} /> })),
  ].sort((a, b) => new Date(b.at).getTime() - new Date(a.at).getTime());
  if (!moments.length) return null;
  return (
    <Section title="Timeline, newest first">
      <ol class="timeline">{moments.map((m) => <li class={m.level} key={m.key}>{m.what}</li>)}</ol>
    </Section>
  );
}

function Published({ of }: { of: OrderStory["events"][number] }) {
  const hears = of.hearing?.filter((h) => h.hears) ?? [];
  const others = of.hearing?.filter((h) => !h.hears) ?? [];
  return (
    <>
      <p><When at={of.published} /> published: <b>{of.eventType ?? "event"}</b> <span class="id">{of.eventId}</span> <span class="quiet">sequence {of.sequence}, {of.subject}{of.gone ? ", no longer in the stream" : ""}</span></p>
      {of.hearing && <p>{hears.length ? <>heard by {hears.map((h, i) => <>{i > 0 && ", "}<a href={link.subscription(h.subscription)}>{h.subscription}</a></>)}</> : "no subscription hears it"}</p>}
      {!!others.length && (
        <details class="quiet">
          <summary>{count(others.length, "subscription")} {others.length === 1 ? "does" : "do"} not hear it</summary>
          <ul>{others.map((h) => <li><a href={link.subscription(h.subscription)}>{h.subscription}</a>: {h.why}</li>)}</ul>
        </details>
      )}
    </>
  );
}
