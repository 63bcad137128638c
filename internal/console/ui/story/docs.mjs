// The page of the API as a reader meets it: finding an operation, its address, trying it, and each look.
//
// usage: node docs.mjs '{"url": …, "prefixed": …, "tokens": {…}, "pictures": DIR or ""}'
import assert from "node:assert/strict";
import { browser, given, heading, hold, login, ok, open, problems, says } from "./browser.mjs";

const title = "The management API";
const operation = (page, id) => page.locator(`details#${id}`);

// ---- a stranger reads, behind a prefix

const page = await open(`${given.prefixed}docs`);
await heading(page, title);
await says(page, "paste a token to try");
await page.getByLabel("Find an operation").fill("dead letter remove");
await says(page, "3 found");
await page.getByLabel("Find an operation").fill("nothing-is-called-so");
await says(page, "None is called so");
await page.getByLabel("Find an operation").fill("");
const list = operation(page, "listStatuses");
await list.locator("summary").first().click();
await list.getByText("suspended").first().waitFor();
await list.getByText("Paste a token at the top of the page").waitFor();
await hold(page, "docs, a stranger");
ok("reading");

// ---- with a token of a tenant that was typed

await page.getByLabel("Token").fill(given.tokens.acme);
await list.getByLabel("limit").fill("1");
await list.getByRole("button", { name: "Send" }).click();
await list.locator(".state", { hasText: "200 OK" }).waitFor();
await list.getByLabel("Body of the answer").getByText("acme-shop").waitFor();
assert.ok((await list.getByLabel("As a command").innerText()).includes("/partners/orders/api/v1/statuses?limit=1"), "the command leaves the prefix out");
assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])), '[{},{},""]', "the token is kept");
assert.ok(!(await page.content()).includes(given.tokens.acme), "the token stands in the page");
await page.getByLabel("Token").fill("not-a-token-0123456789");
await list.getByRole("button", { name: "Send" }).click();
await list.locator(".state", { hasText: "401" }).waitFor();
await page.goto(`${given.prefixed}docs#pauseWebhook`);
await page.reload();
const pause = operation(page, "pauseWebhook");
await pause.getByRole("heading", { name: "Try it" }).waitFor();
assert.equal(await page.getByLabel("Token").inputValue(), "", "the token outlives the page");
await page.getByLabel("Token").fill(given.tokens.acme);
await pause.getByLabel("id", { exact: false }).first().fill("acme-shop");
await pause.getByRole("button", { name: "Send" }).click();
const question = page.getByRole("dialog", { name: "Pause a webhook?" });
await question.getByText("It is done for real").waitFor();
await page.keyboard.press("Escape");
await question.waitFor({ state: "hidden" });
assert.equal(await pause.locator(".state").count(), 0, "it was sent without a yes");
await pause.getByRole("button", { name: "Send" }).click();
await question.getByRole("button", { name: "Send", exact: true }).click();
await question.getByText("It was sent").waitFor();
await question.getByRole("button", { name: "Close" }).click();
await pause.getByLabel("Body of the answer").getByText('"paused": true').waitFor();
ok("a token");

// ---- by the session, and by the keyboard alone

const own = await open(given.url);
await login(own, given.tokens.operator);
await heading(own, "Overview");
await own.goto(`${given.url}docs#schema-Verdict`);
await says(own, "who has logged in");
await operation(own, "schema-Verdict").getByText("suspendedByReceiver").waitFor();
const overview = operation(own, "getOverview");
await overview.locator("summary").first().focus();
await own.keyboard.press("Enter");
await overview.getByRole("button", { name: "Send" }).focus();
await own.keyboard.press("Enter");
await overview.getByLabel("Body of the answer").getByText("replicas").first().waitFor();
const live = operation(own, "followAttempts");
await live.locator("summary").first().click();
await live.getByRole("button", { name: "Send" }).click();
await live.getByText("It goes on").waitFor();
const storageState = await own.context().storageState();
ok("the session, the keyboard, what goes on");

// ---- each look

const looks = { light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", viewport: { width: 360, height: 900 } } };
for (const [look, options] of Object.entries(looks)) {
  const seen = await open(`${given.url}docs`, { ...options, storageState });
  await seen.goto(`${given.url}docs#listAttempts`);
  await seen.reload();
  await operation(seen, "listAttempts").getByRole("heading", { name: "Try it" }).waitFor();
  await operation(seen, "schema-Subscription").locator("summary").first().click();
  await hold(seen, `docs, ${look}`);
  await operation(seen, "listAttempts").evaluate((e) => e.scrollIntoView());
  if (given.pictures) await seen.screenshot({ path: `${given.pictures}/docs-${look}.png` });
  await seen.context().close();
  ok(look);
}

assert.deepEqual(problems, []);
await browser.close();
