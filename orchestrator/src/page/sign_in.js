// Who is signed in. A token is sent once; from then on a cookie that no script can read stands for it.

import { SIGN_IN, ask, post, whenSignedOut } from "./rest.js";

const byId = (id) => document.getElementById(id);

/** Why whoever is signed in sees nothing; `null`: they do. */
const useless = ({ name, role }) => (role === "scrape" ? `The token of ${name} may read /metrics, and nothing that is shown here.` : null);

function showForm(problem) {
  document.body.classList.add("signed-out");
  byId("sign-in").hidden = false;
  byId("sign-in-error").textContent = problem ?? "";
  byId("sign-in-error").hidden = !problem;
  byId("sign-in-token").focus();
}

/** Begins anew: what is on the page is somebody else's. */
const beginAnew = () => location.reload();

async function signIn(event) {
  event.preventDefault();
  const [field, button] = [byId("sign-in-token"), byId("sign-in-form").querySelector("button")];
  button.disabled = true;
  try {
    const who = await post(SIGN_IN, { token: field.value.trim() });
    if (useless(who)) showForm(useless(who));
    else beginAnew();
  } catch (problem) {
    showForm(problem.detail);
  } finally {
    field.value = "";
    button.disabled = false;
  }
}

async function signOut() {
  try {
    await ask(SIGN_IN, { method: "DELETE" });
  } catch {
    // Where it did not work, the page says who is signed in.
  } finally {
    beginAnew();
  }
}

/** Makes the page that of whoever is signed in; whether there is anything to show. */
export async function setUpSignIn() {
  byId("sign-in-form").addEventListener("submit", signIn);
  byId("sign-out").addEventListener("click", signOut);
  whenSignedOut(() => showForm("The sign-in is over."));
  let who;
  try {
    who = await ask(SIGN_IN);
  } catch {
    // Whatever is asked next says what is wrong.
    return true;
  }
  if (!who.needs_token) return true;
  if (who.role === null || useless(who)) {
    showForm(who.role && useless(who));
    return false;
  }
  byId("who").textContent = `${who.name} (${who.role})`;
  byId("who").hidden = byId("sign-out").hidden = false;
  document.body.classList.toggle("view-only", who.role !== "control");
  return true;
}
