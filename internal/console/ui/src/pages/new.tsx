import { useState } from "preact/hooks";
import type { PageProps } from "../console";
import { contracts, type Field, type Given } from "../contracts";
import { Editor, type Draft } from "../editor";
import { saved } from "../leaving";
import { Empty, link, Section } from "../parts";
import { useTitle } from "../use";

const idField: Field = { name: "id", label: "Id", hint: "erp-orders" };
const tenant: Field = { name: "tenant", label: "Tenant", hint: "none: events of all tenants" };

/** New creates a subscription: a form for each contract makes its record. */
export function New({ session }: PageProps) {
  useTitle("New subscription");
  const prefix = session.tenant ? `${session.tenant}-` : "";
  const [name, setName] = useState(contracts[0]!.name);
  const [given, setGiven] = useState<Given>({ id: prefix });
  const [touched, setTouched] = useState(new Set<string>());
  const contract = contracts.find((c) => c.name === name)!;
  const id = given.id ?? "";
  const good = /^[A-Za-z0-9_-]{1,64}$/.test(id) && id !== prefix && id.startsWith(prefix);
  const fields = [idField, ...contract.fields.filter((f) => !f.when || f.when(given)), ...(session.role === "operator" ? [tenant] : [])];
  const masks = new Map(fields.filter((f) => f.secret && given[f.name]).map((f) => [`[${f.label} as entered above]`, f.name]));
  const shown = { ...given, ...Object.fromEntries([...masks].map(([mask, name]) => [name, mask])) };
  const record = { ...contract.record(shown), ...(given.tenant ? { tenant: given.tenant } : {}) };
  const draft: Draft = {
    reveal: (x) => reveal(x, (text) => (masks.has(text) ? given[masks.get(text)!]! : text)),
    begun: Object.entries(given).some(([name, text]) => text && (name !== "id" || text !== prefix)),
    lacks: good ? [] : [id && id !== prefix ? "a valid id" : "an id"],
    touched: (member) => fields.some((f) => f.member === member && touched.has(f.name)),
    label: (member) => fields.find((f) => f.member === member)?.label ?? member,
  };
  const idRule = `1 to 64 letters, digits, - and _${prefix && `, beginning with ${prefix}`}`;
  return (
    <>
      <h1>New subscription</h1>
      {session.reads ? <Empty>You can read only, so you cannot create a subscription. See <a href="#/subscriptions">all subscriptions</a>.</Empty> : (
        <Section title="Settings">
          <Editor id={good ? id : `${prefix}new`} text={JSON.stringify(record, null, 2)} draft={draft} after={(id) => saved(link.subscription(id))}>
            <p><label>Kind of subscription{" "}
              <select value={name} onChange={(e) => setName((e.target as HTMLSelectElement).value)}>{contracts.map((c) => <option>{c.name}</option>)}</select>
            </label></p>
            <p class="quiet">{contract.about}</p>
            <div class="form">
              {fields.map((f) => (
                <Input key={`${name}.${f.name}`} of={f} value={given[f.name] ?? ""} left={() => setTouched((was) => new Set([...was, f.name]))}
                  set={(text) => setGiven((was) => ({ ...was, [f.name]: text }))} />
              ))}
            </div>
            {touched.has("id") && !good ? <p class="failure"><b>Id</b> must be {idRule}</p> : <p class="quiet">The id names the subscription: {idRule}. It cannot be changed later.</p>}
          </Editor>
        </Section>
      )}
    </>
  );
}

/** reveal replaces texts anywhere in a value. */
function reveal(x: unknown, by: (text: string) => string): unknown {
  if (typeof x === "string") return by(x);
  if (Array.isArray(x)) return x.map((y) => reveal(y, by));
  if (x && typeof x === "object") return Object.fromEntries(Object.entries(x).map(([name, y]) => [name, reveal(y, by)]));
  return x;
}

function Input({ of, value, set, left }: { of: Field; value: string; set: (text: string) => void; left: () => void }) {
  const more = { value, placeholder: of.hint, spellcheck: false, onInput: (e: Event) => set((e.target as HTMLInputElement).value.trim()), onChange: left };
  return (
    <label class={of.long ? "long" : ""}>{of.label}{" "}
      {of.ways
        ? <select value={value || of.ways[0]} onChange={(e) => set((e.target as HTMLSelectElement).value)}>{of.ways.map((w) => <option>{w}</option>)}</select>
        : of.secret ? <input type="password" autocomplete="new-password" {...more} /> : <input autocomplete="off" {...more} />}
    </label>
  );
}
