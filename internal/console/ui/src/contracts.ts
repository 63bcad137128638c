// The forms of a new subscription: one for each of the four systems that orderbridge
// replaces, as docs/contracts.md has them, and the record that each makes.

export type Given = Record<string, string>;

export interface Field {
  name: string;
  label: string;
  member?: string; // of the record, as errors name it
  hint?: string;
  ways?: string[]; // one of these, the first unless another is chosen
  secret?: boolean;
  long?: boolean;
  when?: (g: Given) => boolean; // it is asked for
}

export interface Contract {
  name: string;
  about: string;
  fields: Field[];
  record: (g: Given) => Record<string, unknown>;
}

const list = (text = "") => text.split(",").map((t) => t.trim()).filter(Boolean);
const basic = (g: Given) => g.username ? { auth: { type: "basic", username: g.username, password: g.password ?? "" } } : {};
const url = (label: string, hint: string): Field => ({ name: "url", label, member: "targetURL", hint, long: true });
const user: Field[] = [{ name: "username", label: "User name", member: "auth.username" }, { name: "password", label: "Password", member: "auth.password", secret: true, when: (g) => !!g.username }];

const verified = (g: Given) => !g.trust?.startsWith("all");
function tls(g: Given) {
  const members = {
    ...(verified(g) ? {} : { trustAll: true }), ...(verified(g) && g.trustFile ? { trustFile: g.trustFile } : {}),
    ...(g.keyFile ? { keyFile: g.keyFile } : {}), ...(g.keyFile && g.keyPassword ? { keyPassword: g.keyPassword } : {}),
  };
  return Object.keys(members).length ? { tls: members } : {};
}

export const contracts: Contract[] = [
  {
    name: "API platform: each event (POST)",
    about: "Sends each event as it was published, those of one order one after another. Like registerWebhook of an API platform.",
    fields: [
      url("Target URL", "https://erp.example.com/orders"),
      { name: "auth", label: "Authentication", ways: ["none", "basic", "client credentials"] },
      { name: "username", label: "User name", member: "auth.username", when: (g) => g.auth === "basic" },
      { name: "password", label: "Password", member: "auth.password", secret: true, when: (g) => g.auth === "basic" },
      { name: "tokenURL", label: "Token URL", member: "auth.tokenURL", long: true, when: (g) => g.auth === "client credentials" },
      { name: "clientID", label: "Client id", member: "auth.clientID", when: (g) => g.auth === "client credentials" },
      { name: "clientSecret", label: "Client secret", member: "auth.clientSecret", secret: true, when: (g) => g.auth === "client credentials" },
    ],
    record: (g) => ({
      targetURL: g.url,
      ...(g.auth === "basic" ? { auth: { type: "basic", username: g.username ?? "", password: g.password ?? "" } } : {}),
      ...(g.auth === "client credentials" ? { auth: { type: "client_credential", clientID: g.clientID ?? "", clientSecret: g.clientSecret ?? "", tokenURL: g.tokenURL ?? "" } } : {}),
    }),
  },
  {
    name: "Connector: which order changed (GET, POST or PUT)",
    about: "Tells which order changed. GET sends only the order's id, in the URL as {orderId} or {legacyOrderId}; POST and PUT send the event. Like the webhook in a connector's profile.",
    fields: [
      url("URL", "https://erp.example.com/orders/{orderId}"),
      { name: "method", label: "Method", ways: ["GET", "POST", "PUT"] },
      ...user,
      { name: "eventTypes", label: "Event types", member: "eventTypes", hint: "all, or some, separated by commas" },
      { name: "subjects", label: "Subjects", member: "subjects", hint: "all, or some, separated by commas" },
    ],
    record: (g) => {
      const method = g.method || "GET";
      const bare = method === "GET" && !!g.url && !/[{<](legacyO|o)rderId[}>]/.test(g.url);
      return {
        targetURL: bare ? `${g.url}${g.url!.includes("?") ? "&" : "?"}orderId={orderId}` : g.url,
        method,
        ...basic(g),
        ...(list(g.eventTypes).length ? { eventTypes: list(g.eventTypes) } : {}),
        ...(list(g.subjects).length ? { subjects: list(g.subjects) } : {}),
      };
    },
  },
  {
    name: "Gateway: a listener for ORDER_MODIFIED (POST)",
    about: "Sends the summary of each modified order, as it was published. Like a gateway's callback. The URL is not probed when it is created: use Test afterwards.",
    fields: [url("Listener URL", "http://10.0.1.18:8989/v1/notify")],
    record: (g) => ({ targetURL: g.url, method: "POST", payload: "event", eventTypes: ["ORDER_MODIFIED"] }),
  },
  {
    name: "Automation: a notification (POST)",
    about: "Sends a short notification: the order's id and the event type, for seven event types. Like the webHook section of an automation program's configuration file.",
    fields: [
      url("Endpoint", "https://www.example.org/automation"),
      { name: "key", label: "Key", member: "key", hint: "added to the URL as ?key=", secret: true },
      { name: "secret", label: "Secret", member: "secret", hint: "signs the body: X-Signature", secret: true },
      { name: "timeout", label: "Connection timeout", member: "connectionTimeout", hint: "PT30S" },
      { name: "trust", label: "Certificates", member: "tls.trustAll", ways: ["verified", "all trusted (if the operator permits it)"] },
      { name: "trustFile", label: "Trusted authorities", member: "tls.trustFile", hint: "file on the bridge's host", when: verified },
      { name: "keyFile", label: "Client certificate", member: "tls.keyFile", hint: "file on the bridge's host" },
      { name: "keyPassword", label: "Password of the client certificate", member: "tls.keyPassword", secret: true, when: (g) => !!g.keyFile },
    ],
    record: (g) => ({
      targetURL: g.url,
      method: "POST",
      payload: "notification",
      eventTypes: ["OrderCreated", "OrderAccepted", "OrderSigned", "OrderRejected", "OrderCanceled", "OrderExpired", "OrderDueDateUpdated"],
      ...(g.key ? { key: g.key } : {}),
      ...(g.secret ? { secret: g.secret } : {}),
      connectionTimeout: g.timeout || "PT30S",
      ...tls(g),
    }),
  },
];
