// What may stand in a record where the caret is, by the record's schema.
import { resolve, type Schema, type Spec } from "./docs/spec";

export interface Offer {
  text: string; // what is written, from from to to
  name: string;
  about: string;
  from: number;
  to: number;
  caret: number; // where it stands then
}

interface Inside {
  array: boolean;
  name: string; // of the member that is being written
  names: string[]; // of those before
  value: boolean; // behind the colon
}

/** offers are what fits at the caret, by what is typed there already. */
export function offers(spec: Spec, text: string, caret: number): Offer[] {
  const stack: Inside[] = [];
  let from = -1; // of the text or word that the caret is in
  let quoted = false;
  for (let i = 0; i < caret; ) {
    const c = text[i]!, top = stack[stack.length - 1];
    if (c === '"') {
      let end = i + 1;
      while (end < text.length && text[end] !== '"' && text[end] !== "\n") end += text[end] === "\\" ? 2 : 1;
      if (end >= caret) {
        [from, quoted] = [i, true];
        break;
      }
      if (top && !top.array && !top.value) top.names.push((top.name = text.slice(i + 1, end)));
      i = end + 1;
      continue;
    }
    if (c === "{" || c === "[") stack.push({ array: c === "[", name: "", names: [], value: false });
    else if (c === "}" || c === "]") stack.pop();
    else if (c === ":" && top) top.value = true;
    else if (c === "," && top) top.value = false;
    i++;
  }
  const top = stack[stack.length - 1];
  if (!top) return [];
  if (from < 0) from = caret - /[A-Za-z0-9_.-]*$/.exec(text.slice(0, caret))![0].length;
  const typed = text.slice(from + (quoted ? 1 : 0), caret);
  const rest = quoted ? /^[^"\n]*"/ : /^[A-Za-z0-9_.-]*/;
  const to = caret + (rest.exec(text.slice(caret))?.[0].length ?? 0);
  let at = [spec.components.schemas.Subscription!];
  for (const s of stack.slice(0, -1)) at = at.flatMap((x) => s.array ? itemsOf(spec, x) : memberOf(spec, x, s.name));
  const fits = (name: string) => name.toLowerCase().startsWith(typed.toLowerCase()) && name !== typed;
  const offer = (name: string, write: string, about: string, back = 0): Offer => ({ name, text: write, about, from, to, caret: from + write.length - back });
  if (!top.array && !top.value) {
    const named = /^\s*:/.test(text.slice(to));
    const known = new Map(at.flatMap((x) => Object.entries(membersOf(spec, x))));
    const after = /^\s*"/.test(text.slice(to)) ? "," : ""; // another member follows
    return [...known].filter(([name]) => fits(name) && !top.names.includes(name)).map(([name, s]) => {
      const [value, back] = empty(spec, s);
      return offer(name, JSON.stringify(name) + (named ? "" : `: ${value}${after}`), resolve(spec, s).description ?? s.description ?? "", named ? 0 : back + after.length);
    });
  }
  const values = at.flatMap((x) => (top.array ? itemsOf(spec, x) : memberOf(spec, x, top.name))).flatMap((x) => valuesOf(spec, x));
  return [...new Set(values.map((v) => JSON.stringify(v)))].filter((v) => fits(v.replaceAll('"', ""))).map((v) => offer(v.replaceAll('"', ""), v, ""));
}

const ways = (spec: Spec, schema: Schema): Schema[] => {
  const s = resolve(spec, schema);
  return [s, ...[...(s.oneOf ?? []), ...(s.anyOf ?? [])].flatMap((x) => ways(spec, x))];
};

const membersOf = (spec: Spec, schema: Schema): Record<string, Schema> => Object.assign({}, ...ways(spec, schema).map((s) => s.properties ?? {}));

const memberOf = (spec: Spec, schema: Schema, name: string): Schema[] => ways(spec, schema).flatMap((s) => s.properties?.[name] ?? []);

const itemsOf = (spec: Spec, schema: Schema): Schema[] => ways(spec, schema).flatMap((s) => s.items ?? []);

function valuesOf(spec: Spec, schema: Schema): unknown[] {
  return ways(spec, schema).flatMap((s) => s.enum ?? (s.const !== undefined ? [s.const] : s.type === "boolean" ? [true, false] : []));
}

/** empty is the beginning of a value, and how far the caret goes back into it. */
function empty(spec: Spec, schema: Schema): [string, number] {
  const types = ways(spec, schema).map((s) => s.type ?? (s.properties ? "object" : s.enum || s.const !== undefined ? typeof (s.enum?.[0] ?? s.const) : undefined));
  if (types.includes("object")) return ["{}", 1];
  if (types.includes("array")) return ["[]", 1];
  if (types.includes("boolean") || types.includes("integer") || types.includes("number")) return ["", 0];
  return ['""', 1];
}
