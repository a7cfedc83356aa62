// How the page asks the server.

const ANSWER_WITHIN_MS = 10000;
/** A trigger waits until the drivers are armed. */
const CHANGE_WITHIN_MS = 40000;

/** Asks the server; throws problem details: `{ detail, errors }`. */
export async function ask(path, options) {
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
  if (answer.ok && body !== null) return body;
  const detail = answer.ok ? "the orchestrator's answer broke off" : `the orchestrator answered ${answer.status}`;
  throw { detail: body?.detail ?? detail, errors: body?.errors ?? [] };
}

export const post = (path, fields) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(fields ?? {}) });

export const testPath = (id, what = "") => `/v1/tests/${encodeURIComponent(id)}${what}`;
