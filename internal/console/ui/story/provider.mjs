// People log in to the console at a real OpenID provider, in a real browser.
//
// usage: node provider.mjs '{"url": …, "keysGone": FILE that keeps the provider's keys from being had}'
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { browser, given, hold, ok, patience, problems } from "./browser.mjs";

async function loginAs(account, look = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1200, height: 900 }, ...look });
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  page.on("pageerror", (e) => page.url().startsWith(given.url) && problems.push(`a script failed: ${e.message}`));
  await page.goto(given.url);
  await page.getByRole("button", { name: "Log in at 127.0.0.1" }).waitFor();
  await hold(page, `login, ${account}`);
  await page.getByRole("button", { name: "Log in at 127.0.0.1" }).click();
  await page.locator("[name=login]").fill(account);
  await page.locator("[name=password]").fill("any");
  await page.locator("[type=submit]").click();
  await page.locator("[type=submit]:has-text('Continue')").click(); // it consents
  await page.waitForURL(`${given.url}**`);
  return page;
}

writeFileSync(given.keysGone, "");
const early = await loginAs("anna");
await early.getByText("cannot be asked for its keys at the moment").waitFor(); // it is nobody's fault who logs in
await hold(early, "login, the provider's keys are gone");
await early.context().close();
rmSync(given.keysGone);
ok("the provider's keys cannot be had");

const page = await loginAs("anna");
await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
await page.getByText("anna@example.com (anna), tenant acme").waitFor();
assert.equal(new URL(page.url()).search, "", "the code stays in the address");
ok("a tenant's administrator logs in");

await page.reload();
await page.getByText("anna@example.com (anna), tenant acme").waitFor();
const second = await page.context().newPage();
await second.goto(given.url);
await second.getByText("anna@example.com (anna), tenant acme").waitFor();
await page.getByText("live", { exact: false }).first().waitFor();
ok("the session is that of each tab");

// A page of another port of this host has the cookie, and nothing else.
const cookies = (await page.context().cookies(`${given.url}api/session`)).filter((c) => c.name.startsWith("orderbridge"));
assert.ok(cookies.length === 1 && cookies.every((c) => c.httpOnly && c.sameSite === "Strict"), JSON.stringify(cookies));
const stolen = await fetch(`${given.url}api/session`, { headers: { Cookie: cookies.map((c) => `${c.name}=${c.value}`).join("; ") } });
assert.equal(stolen.status, 401);

// An answer that this window has not asked for is not taken up.
await second.goto(`${given.url}?code=x&state=y`);
await second.getByText("This login was not begun in this window").waitFor();

await page.getByRole("button", { name: "Log out" }).click();
await page.waitForURL((u) => !u.href.startsWith(given.url)); // the provider asks whether its own session ends too
await page.getByRole("button", { name: /yes/i }).click();
await page.waitForURL(`${given.url}**`);
await page.getByLabel("API token").waitFor();
ok("logging out ends both sessions");

const stranger = await loginAs("nobody", { colorScheme: "dark", viewport: { width: 375, height: 900 } });
await stranger.getByText("knows you as nobody@example.com, but you have no role here").waitFor();
await stranger.getByText("ORDERBRIDGE_OIDC_ROLE_CLAIM").waitFor();
await hold(stranger, "login, refused");
ok("who has no role is told what the operator has to set");

await browser.close();
for (const p of problems) console.log(p);
process.exit(problems.length ? 1 : 0);
