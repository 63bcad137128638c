// Verifies a request with the reference library of Standard Webhooks and with
// node's own crypto. stdin: {"body", "headers", "signing": [...], "secret"}.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { body, headers, signing, secret } = JSON.parse(readFileSync(0, "utf8"));
for (const s of signing) {
  new Webhook(s).verify(body, headers); // throws if it is not good
}
let refused = false;
try {
  new Webhook(signing[0]).verify(body + " ", headers);
} catch {
  refused = true;
}
if (!refused) throw new Error("another body is accepted");
if (createHmac("sha256", secret).update(body).digest("hex") !== headers["X-Signature"]) {
  throw new Error("X-Signature is wrong");
}
console.log("verified");
