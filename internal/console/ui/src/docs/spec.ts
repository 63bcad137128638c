// What openapi.json holds, as far as the page shows it.

export interface Schema {
  $ref?: string;
  type?: string | string[];
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  oneOf?: Schema[];
  anyOf?: Schema[];
  additionalProperties?: boolean | Schema;
  $defs?: Record<string, Schema>;
}

export interface Parameter {
  name: string;
  in: "path" | "query" | "header";
  description: string;
  required?: boolean;
  schema: Schema;
}

export interface Body {
  description?: string;
  required?: boolean;
  content?: Record<string, { schema: Schema; example?: unknown }>;
}

export interface Operation {
  operationId: string;
  summary: string;
  description: string;
  tags: string[];
  security: Record<string, string[]>[];
  parameters?: Parameter[];
  requestBody?: Body;
  responses: Record<string, Body>;
}

export interface Spec {
  info: { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

/** Route is an operation with where it is. */
export interface Route extends Operation {
  method: string; // GET
  path: string;
}

const methods = ["get", "post", "put", "delete"];

/** routes are the operations of a tag, by their paths. */
export function routes(spec: Spec, tag: string): Route[] {
  return Object.keys(spec.paths).sort().flatMap((path) =>
    methods.flatMap((method) => {
      const op = spec.paths[path]![method];
      return op?.tags[0] === tag ? [{ ...op, method: method.toUpperCase(), path }] : [];
    }));
}

/** nameOf is the schema that a reference names: the component, and the part of it that is meant. */
export function nameOf(schema?: Schema): string | undefined {
  return schema?.$ref?.replace("#/components/schemas/", "");
}

export function resolve(spec: Spec, schema: Schema): Schema {
  const name = nameOf(schema);
  if (!name) return schema;
  let at: any = spec.components.schemas;
  for (const part of name.split("/")) at = at?.[part];
  return at ?? {};
}

/** kind says what a value is: "array of Verdict", "integer, 1 to 500". */
export function kind(spec: Spec, schema: Schema): string {
  const name = nameOf(schema);
  const t = resolve(spec, schema);
  const type = Array.isArray(t.type) ? t.type.join(" or ") : t.type;
  if (name && t.properties) return name.split("/").pop()!;
  if (type === "array" && t.items) return `array of ${kind(spec, t.items)}`;
  if (t.enum) return `one of ${t.enum.map(String).join(", ")}`;
  if (t.const !== undefined) return JSON.stringify(t.const);
  const choice = t.oneOf ?? t.anyOf;
  if (!type && choice) return [...new Set(choice.map((s) => kind(spec, s)))].join(" or ");
  return [type ?? (t.properties ? "object" : "any value"), t.format && `(${t.format})`, bounds(t)].filter(Boolean).join(" ");
}

function bounds(t: Schema): string {
  const { minimum: least, maximum: most } = t;
  if (least !== undefined && most !== undefined) return `from ${least} to ${most}`;
  if (least !== undefined) return `of ${least} at least`;
  if (most !== undefined) return `of ${most} at most`;
  return t.maxLength ? `of ${t.maxLength} characters at most` : "";
}
