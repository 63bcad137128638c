// An OpenID provider as others make it, with a key of its own for each start. Its pages
// let anybody in by the name of an account.
//
// usage: node provider.mjs '{"port": …, "console": URL, "secret": …, "accounts": {NAME: CLAIMS}, "inToken": bool, "keysGone": FILE}'; as long as the file is there, its keys cannot be had
import { generateKeyPairSync, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { Provider } from "oidc-provider";

const given = JSON.parse(process.argv[2]);
const jwk = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
const own = { redirect_uris: [given.console], post_logout_redirect_uris: [given.console] };

const provider = new Provider(`http://127.0.0.1:${given.port}`, {
  clients: [
    { client_id: "bridge", client_secret: given.secret, ...own },
    { client_id: "bridge-public", token_endpoint_auth_method: "none", ...own },
  ],
  pkce: { required: () => true },
  claims: { openid: ["sub", "orderbridge_role", "orderbridge_tenant"], profile: ["preferred_username"] },
  conformIdTokenClaims: !given.inToken, // else they are in the user info alone
  jwks: { keys: [{ ...jwk, kid: randomUUID(), use: "sig", alg: "RS256" }] },
  cookies: { keys: [randomUUID()] },
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ sub: id, preferred_username: `${id}@example.com`, ...given.accounts[id] }) }),
});
provider.use((ctx, next) => (ctx.path === "/jwks" && existsSync(given.keysGone) ? ctx.throw(503) : next()));
provider.on("server_error", (_, e) => console.log(e));
provider.listen(given.port, "127.0.0.1", () => console.log("it listens"));
