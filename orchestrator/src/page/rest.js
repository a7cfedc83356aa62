// How the page asks the server.

const ANSWER_WITHIN_MS = 10000;
/** A trigger waits until the drivers are armed. */
const CHANGE_WITHIN_MS = 40000;

/** Done, and nothing to say. */
const NO_CONTENT = 204;

/** Where a browser signs in and out. */
export const SIGN_IN = "/v1/sign-in";

/** Once the server does not know any more who asks, nothing is asked but to be signed in. */
let isSignedOut = false;
let tell = () => {};
/** Calls `told` when that happens. */
export const whenSignedOut = (told) => (tell = told);

/** Asks the server; throws problem details: `{ detail, errors }`. */
export const ask = async (path, options) => (await answerTo(path, options)).body;

/** Asks for a list, page after page, until there are so many or no more; `more`: there are. `part`: which of it. */
export async function askList(path, most, part = {}) {
  const items = [];
  let next = `${path}?${new URLSearchParams({ limit: most, ...part })}`;
  while (next && items.length < most) {
    const { body, link } = await answerTo(next);
    items.push(...body);
    next = link?.match(/^<([^>]+)>; rel="next"/)?.[1];
  }
  return { items: items.slice(0, most), more: Boolean(next) };
}

async function answerTo(path, options) {
  if (isSignedOut && path !== SIGN_IN) throw { detail: "nobody is signed in", errors: [] };
  let answer;
  const withinMs = options ? CHANGE_WITHIN_MS : ANSWER_WITHIN_MS;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(withinMs) });
  } catch {
    throw { detail: "the orchestrator does not answer", errors: [] };
  }
  let body = null;
  try {
    body = await answer.json();
  } catch {
    // Reported below, by its status.
  }
  if (answer.status === 401 && path !== SIGN_IN && !isSignedOut) {
    isSignedOut = true;
    tell();
  }
  if (answer.ok && (body !== null || answer.status === NO_CONTENT)) return { body, link: answer.headers.get("link") };
  const detail = answer.ok ? "the orchestrator's answer broke off" : `the orchestrator answered ${answer.status}`;
  throw { detail: body?.detail ?? detail, errors: body?.errors ?? [] };
}

export const post = (path, fields) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields ?? {}) });

export const patch = (path, fields) =>
  ask(path, { method: "PATCH", headers: { "content-type": "application/json" }, body: JSON.stringify(fields) });

export const remove = (path) => ask(path, { method: "DELETE" });

export const testPath = (id, what = "") => `/v1/tests/${encodeURIComponent(id)}${what}`;
