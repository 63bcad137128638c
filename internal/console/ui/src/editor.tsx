// The editor of a record: JSON, with what the bridge makes of it while it is typed.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, at, type Failure as Failed, type MemberProblem } from "./api";
import { offers, type Offer } from "./complete";
import { resolve, type Spec } from "./docs/spec";
import { useUnsaved } from "./leaving";
import { Action, Failure } from "./parts";

interface Judged {
  hears?: string;
  problems?: MemberProblem[];
}

const base64 = (text: string) => btoa(Array.from(new TextEncoder().encode(text), (b) => String.fromCharCode(b)).join(""));

/** useJudgement asks what the bridge makes of a record, a moment after it was changed. */
function useJudgement(id: string, text: string) {
  const [said, setSaid] = useState<{ of: string; judged?: Judged; failure?: Failed; syntax?: string }>();
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        JSON.parse(text);
      } catch (e) {
        return setSaid({ of: text, syntax: (e as Error).message });
      }
      try {
        const judged = await ask<Judged>("POST", "api/v1/judge", { body: { id, record: base64(text) }, signal: stop.signal });
        setSaid({ of: text, judged });
      } catch (e) {
        if (!stop.signal.aborted) setSaid({ of: text, failure: e as Failed });
      }
    }, 400);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [id, text]);
  return said?.of === text ? said : undefined;
}

/** Draft is what the form of a new record adds to its editor. */
export interface Draft {
  reveal: (record: unknown) => unknown; // puts in the secrets, which the text does not show
  begun: boolean; // something is entered in the form
  lacks: string[]; // what the form itself still needs
  touched: (member: string) => boolean; // errors of other members are not shown yet
  label: (member: string) => string; // in the form
}

export function Editor({ id, text, revision, after, draft, children }: { id: string; text: string; revision?: number; after: (id: string) => void; draft?: Draft; children?: ComponentChildren }) {
  const [edit, setEdit] = useState({ of: text, revision, now: text });
  // What was typed stays, where the record it began with is another by now; saving it says so.
  const other = edit.of !== text && edit.now !== edit.of && !draft;
  const base = edit.of === text ? { ...edit, revision } : other ? edit : { of: text, revision, now: text };
  const now = base.now;
  const said = useJudgement(id, revealed(now, draft));
  const errors = said?.judged?.problems?.filter((p) => !p.warning) ?? [];
  const byHand = now !== text;
  useUnsaved(draft ? (byHand || draft.begun ? "a new subscription that is not created yet" : undefined) : byHand ? `changes to the record of ${id}` : undefined);
  const seen = (p: MemberProblem) => p.warning || byHand || !draft || draft.touched(p.field ?? "");
  const record = <Text now={now} set={(now) => setEdit({ ...base, now })} />;
  const judgement = (
    <div id="judgement" role="status">
      {other && <p class="warning">The record has changed since you began to type.</p>}
      {!said && <p class="waits">Checking …</p>}
      {said?.syntax && <p class="failure">It is not JSON: {said.syntax}</p>}
      {said?.failure && <Failure of={said.failure} />}
      {said?.judged?.hears && <p>It {said.judged.hears}.</p>}
      {said?.judged?.problems?.filter(seen).map((p) => <p class={p.warning ? "warning" : "failure"}>{p.field && <b>{p.field}</b>} {p.message}</p>)}
    </div>
  );
  const needs = [...(draft?.lacks ?? []), ...errors.filter((p) => !seen(p)).map((p) => (p.field ? draft!.label(p.field) : p.message))];
  const lacks = !said ? "Checking …" : needs.length ? `Still needed: ${needs.join(", ")}.`
    : said.syntax || said.failure || errors.length ? "Correct the errors above first." : !draft && !byHand ? "Nothing is changed yet." : undefined;
  const buttons = (
    <div class="buttons">
      <Action main lacks={lacks} label={draft ? "Create" : "Save"} title={draft ? `Create ${id}?` : `Save ${id}?`} after={() => { setEdit({ ...base, of: now }); after(id); }}
        what={<p>{draft ? "It gets the events that are published from now on." : "The next attempt uses the changed record. What is owed stays owed. Secrets that stand as [redacted] stay as they are, as long as the target stays on the same host."}</p>}
        run={() => ask("PUT", at`api/v1/records/${id}`, { body: JSON.parse(revealed(now, draft)), headers: draft ? { "If-None-Match": "*" } : { "If-Match": `"${base.revision}"` } })
          .catch((e: Failed) => { if (!draft && e.status === 409) after(id); throw e; }) /* it is another by now: that is shown */}
        done={() => `${id} is stored.`} />
      {byHand && <button type="button" onClick={() => setEdit({ of: text, revision, now: text })}>{other ? "Load the current record" : "Undo changes"}</button>}
      {other && <button type="button" onClick={() => setEdit({ of: text, revision, now })}>Keep what I typed</button>}
      {byHand && draft && <span class="quiet">Changed by hand: a change in the form replaces it.</span>}
    </div>
  );
  return draft ? <>{children}{judgement}{buttons}{record}</> : <>{record}{judgement}{buttons}</>;
}

/** revealed is what is judged and sent of what is shown. */
function revealed(text: string, draft?: Draft): string {
  try {
    return draft ? JSON.stringify(draft.reveal(JSON.parse(text))) : text;
  } catch {
    return text;
  }
}

/** Text is where a record is written, with what may stand at the caret. */
function Text({ now, set }: { now: string; set: (text: string) => void }) {
  const [fit, setFit] = useState<Offer[]>([]);
  const [spec, setSpec] = useState<Spec>();
  const area = useRef<HTMLTextAreaElement>(null);
  // The schema is asked for when somebody begins to write.
  const learn = () => {
    if (!spec) ask<Spec>("GET", "openapi.json").then(setSpec, () => {}); // without it nothing is offered
  };
  const look = () => {
    const { value, selectionStart, selectionEnd } = area.current!;
    setFit(spec && selectionStart === selectionEnd ? offers(spec, value, selectionStart).slice(0, 12) : []);
  };
  useEffect(() => {
    if (spec && document.activeElement === area.current) look();
  }, [spec]);
  const take = (o: Offer) => {
    const el = area.current!;
    const value = el.value.slice(0, o.from) + o.text + el.value.slice(o.to);
    el.value = value;
    el.focus();
    el.setSelectionRange(o.caret, o.caret);
    set(value);
    look();
  };
  return (
    <>
      <label class="editor">
        The record
        <textarea ref={area} rows={Math.min(30, now.split("\n").length + 1)} value={now} spellcheck={false} aria-describedby="judgement offers" onFocus={learn}
          onInput={(e) => { set((e.target as HTMLTextAreaElement).value); look(); }} onKeyUp={look} onClick={look}
          onKeyDown={(e) => {
            if (!(e.ctrlKey && e.key === " ") || !fit.length) return;
            e.preventDefault();
            take(fit[0]!);
          }} />
      </label>
      <p id="offers" class="offers">
        {fit.length ? <>Suggestions (Ctrl+Space takes the first): {fit.map((o) => <button type="button" title={o.about} onClick={() => take(o)}>{o.name}</button>)}</> : "Suggestions appear here while you type."}
      </p>
      <Members spec={spec} learn={learn} />
    </>
  );
}

/** Members tells what a record may hold, by its schema. */
function Members({ spec, learn }: { spec?: Spec; learn: () => void }) {
  const properties = spec?.components.schemas.Subscription!.properties ?? {};
  return (
    <details onToggle={learn}>
      <summary>All members of a record</summary>
      <dl class="members">
        {Object.entries(properties).map(([name, p]) => {
          const s = resolve(spec!, p);
          return <><dt><code>{name}</code></dt><dd>{p.description ?? s.description ?? ""}{s.enum ? ` One of ${s.enum.join(", ")}.` : ""}</dd></>;
        })}
      </dl>
    </details>
  );
}
