// The form that starts a test. The server checks the values; its words appear beside the fields.

import { element } from "./tables.js";

/** A field that is no option of the test. */
const NAME = { name: "name", label: "Name", about: "A label for people.", control: { type: "line" }, default: "for the list of tests" };
/** They come first, in this order; the others as the server lists them. */
const FIRST = ["target_url", "message_count_per_driver", "duration"];

/** A larger file is not even read. */
const MAX_FILE_BYTES = 512 * 1024;

/** What is wrong with a field, as the server says it. */
const wrong = (field, problem) => ({ detail: problem, errors: [{ field, problem }] });

/** The bytes of a file in base64; throws problem details. */
function base64Of(file, field) {
  return new Promise((resolve, reject) => {
    if (file.size > MAX_FILE_BYTES) {
      reject(wrong(field, `the file has ${file.size} bytes; at most ${MAX_FILE_BYTES} fit`));
      return;
    }
    const reader = new FileReader();
    // It gives a data URL, whose text after the comma is base64.
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(wrong(field, "the file cannot be read; pick it again"));
    reader.readAsDataURL(file);
  });
}

const linesOf = (text) => text.split("\n").filter((line) => line.trim() !== "");

/** The JSON objects of a text, one a line; throws problem details. */
function objectsOf(text, field) {
  return linesOf(text).map((line, index) => {
    try {
      return JSON.parse(line);
    } catch {
      throw wrong(field, `line ${index + 1} is not JSON; write an object such as {"url": "http://127.0.0.1:8080/ping", "weight": 3}`);
    }
  });
}

/** An example as it is typed. */
function typed(example) {
  if (Array.isArray(example)) return typed(example[0]);
  const isText = typeof example !== "object" || example === null;
  if (isText) return example === undefined || example === null ? "" : String(example);
  // Names and values are lines; anything else is JSON.
  const values = Object.entries(example);
  const areLines = values.length === 1 && typeof values[0][1] === "string";
  return areLines ? values[0].join(": ") : JSON.stringify(example);
}

/** What an empty field means, or what to write into it. */
const hintOf = (option) => (option.default && !option.default.endsWith("required") ? option.default : typed(option.example));

/**
 * Returns `show(problem)`, which says what is wrong beside each field (`errors` and `inputs` by name), the rest in `general`, and opens
 * `more` where one of them is in it; `null`: nothing is wrong.
 */
export function problems(form, inputs, errors, general, more) {
  return (problem) => {
    const elsewhere = [];
    for (const [name, line] of errors) {
      const mine = (problem?.errors ?? []).filter((error) => error.field === name);
      line.textContent = mine.map((error) => error.problem).join("; ");
      line.hidden = mine.length === 0;
      inputs.get(name)?.setAttribute("aria-invalid", String(mine.length > 0));
      if (mine.length > 0 && more?.contains(line)) more.open = true;
    }
    for (const error of problem?.errors ?? []) {
      if (!errors.has(error.field)) elsewhere.push(`${error.field} ${error.problem}`);
    }
    const named = problem?.errors?.length > 0;
    general.textContent = !problem ? "" : named ? elsewhere.join("; ") : problem.detail;
    general.hidden = general.textContent === "";
    form.querySelector("[aria-invalid=true]")?.focus();
  };
}

/** Fills the form with the options of a test; `create(fields)` posts a test and rejects with the problem's details. */
export function setUpForm(form, options, create) {
  const errors = new Map();
  const inputs = new Map();
  /** By name, how a field is read where it is not taken as it is typed. */
  const controls = new Map();

  const errorOf = (name) => {
    const line = element("p", { class: "error", id: `error-${name}`, hidden: true });
    errors.set(name, line);
    return line;
  };
  const inputOf = (option) => {
    const { name, about, control, is_secret } = option;
    const named = { id: `field-${name}`, name, title: about, "aria-describedby": `error-${name}` };
    if (control.type === "file") return element("input", { ...named, type: "file" });
    if (control.type === "choice") {
      return element("select", named, ...control.choices.map((value) => element("option", { value }, value)));
    }
    const attributes = { ...named, placeholder: hintOf(option), autocomplete: "off", spellcheck: "false" };
    if (control.type === "line") return element("input", { ...attributes, type: "text" });
    return element("textarea", { ...attributes, rows: 2, class: is_secret ? "secret" : null });
  };
  const field = (option) => {
    const { name, label, about, control } = option;
    controls.set(name, control.type);
    if (control.type === "flag") {
      const box = choice("checkbox", name, "true", label, option.shown_default === true, { id: `field-${name}`, title: about });
      return element("div", { class: "full" }, box, errorOf(name));
    }
    const input = inputOf(option);
    inputs.set(name, input);
    const title = element("label", { class: "above", for: `field-${name}` }, label);
    const isFull = name === "target_url" || !["line", "choice"].includes(control.type);
    const removal = control.type === "file" ? removalOf(input) : null;
    return element("div", { class: isFull ? "full" : null }, title, input, removal, errorOf(name));
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
  const choice = (type, name, value, label, checked, more) => {
    const input = element("input", { type, name, value, checked, ...more });
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
  const place = ({ name }) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  const [first] = options.map((option) => option.section);
  const load = options.filter((option) => option.section === first).sort((a, b) => place(a) - place(b));
  const others = options.filter((option) => option.section !== first);
  const more = element("details", {}, element("summary", {}, "More settings"), element("div", {}, ...others.map(field)));
  const button = element("button", { type: "submit" }, "Create the test");
  const general = element("p", { class: "error full", role: "alert", hidden: true });
  const start = element("div", {}, choice("checkbox", "trigger", "true", "start it at once", true), errorOf("trigger"));
  form.replaceChildren(types, ...[...load, NAME].map(field), more, element("div", { class: "full actions" }, button, start), general);

  const isTsunami = () => form.elements.namedItem("test_type").value === "TSUNAMI";
  const followType = () => {
    inputs.get("test_message_delay").disabled = !isTsunami();
  };
  types.addEventListener("change", followType);
  followType();

  const read = async () => {
    const fields = { test_type: form.elements.namedItem("test_type").value };
    for (const [name, input] of inputs) {
      const control = controls.get(name);
      if (input.type === "checkbox") fields[name] = input.checked;
      else if (input.type === "file" && input.files.length > 0) fields[name] = await base64Of(input.files[0], name);
      else if (input.disabled || input.value.trim() === "") continue;
      else if (control === "lines") fields[name] = linesOf(input.value);
      else if (control === "objects") fields[name] = objectsOf(input.value, name);
      // Its first choice is the default.
      else if (control !== "choice" || input.selectedIndex > 0) fields[name] = input.value;
    }
    return fields;
  };

  const show = problems(form, inputs, errors, general, more);

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
