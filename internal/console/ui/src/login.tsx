// Logging in: with a token, or at the OpenID provider where the operator has set one.
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, entered, forget, Failure as Failed, keep, kept, type Session } from "./api";
import { Failure } from "./parts";

const stateName = `orderbridge login ${location.pathname}`;

/** withToken exchanges a token for a session. */
export const withToken = async (token: string) => entered(await ask<Session>("POST", "api/session", { headers: { Authorization: `Bearer ${token}` } }));

/**
 * tokenOfAddress is the token that an address has brought, as that of a demo does. It
 * does not stay there. Only an address of this machine may bring one, and it replaces no
 * session: a link of somebody else's must not have one work under their token.
 */
export function tokenOfAddress(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
  if (given) history.replaceState(null, "", location.pathname);
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|(.+\.)?localhost)$/.test(location.hostname) ? given : "";
}

/** answered is true where the provider has sent the browser back to this page. */
export const answered = () => new URLSearchParams(location.search).has("state");

/** withAnswer ends the login that this window has begun. */
export async function withAnswer(): Promise<Session> {
  const answer = location.search.slice(1);
  const begun = kept("sessionStorage", stateName);
  keep("sessionStorage", stateName, "");
  history.replaceState(null, "", location.pathname); // a code does not stay in the address
  if (!begun || new URLSearchParams(answer).get("state") !== begun) {
    throw new Failed(403, "This login was not begun in this window; log in again.");
  }
  return entered(await ask<Session>("PUT", "api/login", { body: { answer } }));
}

async function toProvider() {
  const { url, state } = await ask<{ url: string; state: string }>("POST", "api/login");
  keep("sessionStorage", stateName, state);
  location.assign(url);
}

/** logout ends the session, or all of them, and leaves for the provider if that has one of its own. */
export async function logout(everywhere = false): Promise<string> {
  let said = "";
  const out = await ask<{ url?: string }>("DELETE", everywhere ? "api/session?everywhere=true" : "api/session").catch((e: Failed) => {
    if (e.status !== 401) said = e.message;
    return undefined;
  });
  forget();
  if (out?.url) location.assign(out.url);
  return said;
}

export function Login({ why, enter }: { why: string; enter: (s: Session) => void }) {
  const [failure, setFailure] = useState<Failed>();
  const [asking, setAsking] = useState(false);
  const [provider, setProvider] = useState<string>();
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    document.title = "Log in · orderbridge";
    field.current?.focus();
    ask<{ provider?: string }>("GET", "api/login").then((w) => setProvider(w.provider), () => {}); // a token always does
  }, []);
  const attempt = (how: () => Promise<void>) => async (e: Event) => {
    e.preventDefault();
    setAsking(true);
    setFailure(undefined);
    try {
      await how();
    } catch (e) {
      setFailure(e as Failed);
      setAsking(false);
    }
  };
  return (
    <main class="login">
      <h1>orderbridge</h1>
      {!isSecureContext && <p class="failure" role="note">This page came without TLS: others on the network can read the token and all that is shown. Let the operator put TLS in front of the bridge.</p>}
      {why && !failure && <p role="status">{why}</p>}
      {provider && <p><button type="button" class="main" disabled={asking} onClick={attempt(toProvider)}>Log in at {provider}</button></p>}
      <form onSubmit={attempt(async () => enter(await withToken(field.current!.value.trim())))}>
        <label for="token">API token</label>
        <input id="token" ref={field} type="password" autocomplete="current-password" required spellcheck={false} aria-describedby="where" />
        <p id="where" class="quiet">You get it from the operator of the bridge. If no tokens are configured, it is in the file <code>api-token</code> in the data directory.</p>
        {failure && <Failure of={failure} />}
        <button class="main" disabled={asking}>{asking ? "Logging in …" : "Log in"}</button>
      </form>
    </main>
  );
}
