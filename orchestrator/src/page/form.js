// The form that starts a test. The server checks the values; its words appear beside the fields.

import { element } from "./tables.js";

const FIELDS = [
  { name: "target_url", label: "Target URL", hint: "http://127.0.0.1:8080/ping", full: true },
  { name: "message_count_per_driver", label: "Requests per driver", hint: "10k" },
  { name: "duration", label: "Duration", hint: "30s" },
  { name: "test_message_delay", label: "Time between requests", hint: "2ms" },
  { name: "target_throughput", label: "Limit per second", hint: "no limit" },
  { name: "connections", label: "Connections per driver", hint: "64, Tsunami 256" },
  { name: "name", label: "Name", hint: "for the list of tests" },
];
const MORE_FIELDS = [
  { name: "method", label: "Method", hint: "GET" },
  { name: "timeout", label: "Time-out", hint: "10s" },
  { name: "connect_timeout", label: "Time-out of connecting", hint: "5s" },
  { name: "headers", label: "Headers, one per line", hint: "accept: application/json", rows: 2, full: true },
  { name: "body", label: "Body", hint: "", rows: 3, full: true },
  { name: "body_base64", label: "Body from a file", file: true, full: true },
];
/** A larger file is not even read. */
const MAX_FILE_BYTES = 512 * 1024;

/** The bytes of a file in base64; throws problem details. */
function base64Of(file, field) {
  const wrong = (problem) => ({ detail: problem, errors: [{ field, problem }] });
  return new Promise((resolve, reject) => {
    if (file.size > MAX_FILE_BYTES) {
      reject(wrong(`the file has ${file.size} bytes; at most ${MAX_FILE_BYTES} fit`));
      return;
    }
    const reader = new FileReader();
    // It gives a data URL, whose text after the comma is base64.
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(wrong("the file cannot be read; pick it again"));
    reader.readAsDataURL(file);
  });
}

/** Fills the form; `create(fields)` posts a test and rejects with the problem's details. */
export function setUpForm(form, create) {
  const errors = new Map();
  const inputs = new Map();

  const errorOf = (name) => {
    const line = element("p", { class: "error", id: `error-${name}`, hidden: true });
    errors.set(name, line);
    return line;
  };
  const inputOf = ({ name, hint, rows, file }) => {
    const named = { id: `field-${name}`, name, "aria-describedby": `error-${name}` };
    if (file) return element("input", { ...named, type: "file" });
    const attributes = { ...named, placeholder: hint, autocomplete: "off", spellcheck: "false" };
    return rows ? element("textarea", { ...attributes, rows }) : element("input", { ...attributes, type: "text" });
  };
  const field = (about) => {
    const { name, label, full, file } = about;
    const input = inputOf(about);
    inputs.set(name, input);
    const title = element("label", { class: "above", for: `field-${name}` }, label);
    return element("div", { class: full ? "full" : null }, title, input, file ? removalOf(input) : null, errorOf(name));
  };
  /** A file that was picked can be taken back. */
  const removalOf = (input) => {
    const remove = () => {
      input.value = "";
      button.hidden = true;
      input.focus();
    };
    const button = element("button", { type: "button", class: "plain", onclick: remove, hidden: true }, "Remove the file");
    input.addEventListener("change", () => (button.hidden = input.files.length === 0));
    return button;
  };
  const choice = (type, name, value, label, checked) => {
    const input = element("input", { type, name, value, checked });
    if (type === "checkbox") inputs.set(name, input);
    return element("label", {}, input, label);
  };

  const types = element(
    "fieldset", {},
    element("legend", {}, "Type"),
    choice("radio", "test_type", "AVALANCHE", "Avalanche: as soon as possible", true),
    choice("radio", "test_type", "TSUNAMI", "Tsunami: at fixed moments", false),
    errorOf("test_type"),
  );
  const more = element(
    "details", {},
    element("summary", {}, "More settings"),
    element(
      "div", {},
      ...MORE_FIELDS.map(field),
      element("div", { class: "full" }, choice("checkbox", "keepalive", "true", "Keep connections open (keep-alive)", true), errorOf("keepalive")),
    ),
  );
  const button = element("button", { type: "submit" }, "Create the test");
  const general = element("p", { class: "error full", role: "alert", hidden: true });
  const start = element("div", {}, choice("checkbox", "trigger", "true", "start it at once", true), errorOf("trigger"));
  form.append(types, ...FIELDS.map(field), more, element("div", { class: "full actions" }, button, start), general);

  const isTsunami = () => form.elements.namedItem("test_type").value === "TSUNAMI";
  const followType = () => {
    inputs.get("test_message_delay").disabled = !isTsunami();
  };
  types.addEventListener("change", followType);
  followType();

  const read = async () => {
    const fields = { test_type: form.elements.namedItem("test_type").value };
    for (const [name, input] of inputs) {
      if (input.type === "checkbox") fields[name] = input.checked;
      else if (input.type === "file" && input.files.length > 0) fields[name] = await base64Of(input.files[0], name);
      else if (input.disabled || input.value.trim() === "") continue;
      else if (name === "headers") fields[name] = input.value.split("\n").filter((line) => line.trim() !== "");
      else fields[name] = input.value;
    }
    return fields;
  };

  const show = (problem) => {
    const elsewhere = [];
    for (const [name, line] of errors) {
      const mine = (problem?.errors ?? []).filter((error) => error.field === name);
      line.textContent = mine.map((error) => error.problem).join("; ");
      line.hidden = mine.length === 0;
      inputs.get(name)?.setAttribute("aria-invalid", String(mine.length > 0));
      if (mine.length > 0 && more.contains(line)) more.open = true;
    }
    for (const error of problem?.errors ?? []) {
      if (!errors.has(error.field)) elsewhere.push(`${error.field} ${error.problem}`);
    }
    const named = problem?.errors?.length > 0;
    general.textContent = !problem ? "" : named ? elsewhere.join("; ") : problem.detail;
    general.hidden = general.textContent === "";
    form.querySelector("[aria-invalid=true]")?.focus();
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    show(null);
    try {
      await create(await read());
    } catch (problem) {
      show(problem);
    } finally {
      button.disabled = false;
    }
  });
}
