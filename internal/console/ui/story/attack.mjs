// What others write, as markup, as addresses of scripts, as characters that hide: on each
// page it is text. And a link of somebody else's does not log anybody in under a token of theirs.
//
// usage: node attack.mjs '{"url": …, "tokens": {…}, "order": …}'
import assert from "node:assert/strict";
import { browser, given, heading, login, ok, open, problems } from "./browser.mjs";

const page = await open(given.url);
page.on("dialog", (d) => {
  problems.push(`a script asks: ${d.message()}`);
  void d.dismiss();
});
await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => console.log(`Content Security Policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`)));
await page.reload();
await login(page, given.tokens.operator);
await heading(page, "Overview");

// Whatever was not made by the page itself.
const strange = () => {
  const found = [];
  for (const e of document.querySelectorAll("img, iframe, object, embed, base, form[action], script:not([src]), style, meta[http-equiv]")) found.push(e.outerHTML.slice(0, 200));
  for (const e of document.querySelectorAll("*")) for (const { name, value } of e.attributes) if (/^on|^srcdoc$/.test(name) || (name === "style" && !/^((bottom|left|width|height): [\d.]+%; ?)+$/.test(value)) || (/^(href|src|action|xlink:href)$/.test(name) && /^\s*(javascript|data|vbscript|https?|\/\/)/i.test(value))) found.push(`${e.tagName} ${name}=${value}`);
  for (const hidden of document.body.innerText.matchAll(/[\u0000-\u0008\u007f-\u009f\u200b-\u200d\u2028-\u202e\u2060-\u2069\ufeff]/g)) found.push(`U+${hidden[0].codePointAt(0).toString(16)} in ${document.body.innerText.slice(Math.max(0, hidden.index - 30), hidden.index + 30)}`);
  for (const area of document.querySelectorAll("textarea")) if (/[\u202a-\u202e\u2066-\u2069]/.test(area.value)) found.push(`the editor hides: ${area.value.slice(0, 200)}`);
  if (/[\u202a-\u202e]/.test(document.title)) found.push(document.title);
  return found;
};
const evil = /<img src=x onerror=alert\(1\)>/;
const seen = new Set();
async function visit(path, name) {
  await page.evaluate((hash) => (location.hash = hash), path);
  await page.locator("h1").first().waitFor();
  for (let quiet = 0; quiet < 3; ) quiet = (await page.locator(".waits").count()) ? 0 : quiet + 1;
  await page.evaluate(() => { for (const d of document.querySelectorAll("details")) d.open = true; });
  await page.waitForFunction(() => [...document.querySelectorAll("details.attempt")].every((d) => !d.open || d.querySelector(".inside")));
  for (const found of await page.evaluate(strange)) problems.push(`${name}: ${found}`);
  if (evil.test(await page.locator("body").innerText())) seen.add(name);
  ok(`${name}${seen.has(name) ? ", with markup as text" : ""}`);
}
const order = encodeURIComponent(given.order);
const asked = (page, path) => page.evaluate(async (path) => (await fetch(path, { headers: { "X-Orderbridge-Console": "act", "X-Orderbridge-Session": Object.entries(localStorage).find(([k]) => k.startsWith("orderbridge session"))?.[1] } })).json(), path);
const letters = (await asked(page, "api/v1/dead-letters")).items;
assert.ok(letters.length > 0);
for (const [name, path] of Object.entries({
  overview: "#/", subscriptions: "#/subscriptions", "its evil name": "#/subscriptions/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%E2%80%AE", subscription: "#/subscriptions/evil", broken: "#/subscriptions/broken", order: `#/orders/${order}`,
  events: "#/events", "dead letters": "#/dead-letters", "a dead letter": `#/dead-letters/${letters[0].deadLetter}`, alerts: "#/alerts", replays: "#/replays", audit: "#/audit", search: `#/search?q=${order}`, new: "#/new",
  "a filter": "#/dead-letters?subscription=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", "a page that is none": "#/javascript:alert(1)/%3Cscript%3E", "half an escape": "#/orders/%E0%A4%A", "no name": "#/__proto__/constructor",
})) await visit(path, name);
for (const must of ["subscription", "broken", "order", "events", "dead letters", "a dead letter", "search"]) assert.ok(seen.has(must), `${must} shows nothing of what was planted`);

// A link with a token: of somebody who is logged in, of a stranger, under a name of the network.
await page.evaluate((token) => (location.hash = `token=${token}`), given.tokens.acme);
await page.waitForFunction(() => !location.href.includes("token"));
await page.goto(`${given.url}?again#token=${given.tokens.acme}`);
await heading(page, "Overview");
assert.equal((await asked(page, "api/session")).role, "operator", "a link has changed who has logged in");
assert.ok(!page.url().includes("token"));
const context = await browser.newContext();
await context.route("http://bridge.example.com/**", async (route) => {
  const url = route.request().url().replace("http://bridge.example.com/", given.url);
  const answer = await route.fetch({ url, headers: { ...(await route.request().allHeaders()), host: "bridge.example.com" } }).catch((e) => console.log(`the proxy: ${e.message}`)); // the story may be over
  if (answer) await route.fulfill({ response: answer }).catch(() => {});
});
const stranger = await context.newPage();
await stranger.goto(`http://bridge.example.com/#token=${given.tokens.acme}`);
await stranger.locator("#token").waitFor();
assert.ok(!stranger.url().includes("token"));
await stranger.getByRole("note").getByText("without TLS").waitFor();
assert.equal(await page.getByText("without TLS").count(), 0);
assert.equal(await stranger.evaluate(() => document.cookie + localStorage.length), "0");

await login(stranger, given.tokens.acme); // it works there
await heading(stranger, "Overview");
assert.equal((await asked(stranger, "api/session")).tenant, "acme");
ok("links with a token");
await stranger.close();

await page.goto(`${given.url}docs`);
await page.locator("h2").first().waitFor();
for (const found of await page.evaluate(strange)) if (!/^A href=https?:\/\/[a-z.]+\//.test(found)) problems.push(`docs: ${found}`);
// What a page of the console may not do, whoever wrote it.
const may = await page.evaluate(async () => {
  const tried = {};
  await new Promise((later) => setTimeout(later)); // the tools of the browser lift the policy for what they run at once
  const attempt = async (name, fn) => { try { await fn(); tried[name] = "done"; } catch { tried[name] = "refused"; } };
  await attempt("eval", () => eval("1"));
  await attempt("markup", () => (document.body.innerHTML += "<img src=x>"));
  await attempt("another host", () => fetch("https://evil.example.com/"));
  await attempt("a script of data", () => import("data:text/javascript,1"));
  return tried;
});
assert.deepEqual(new Set(Object.values(may)), new Set(["refused"]), JSON.stringify(may));
ok("docs");

const own = problems.filter((p) => !/evil\.example\.com|data:text|script-src-elem data|eval|TrustedHTML|trusted-types/i.test(p)); // those were tried just now
for (const p of own) console.log(`PROBLEM ${p}`);
await browser.close();
process.exit(own.length ? 1 : 0);
