// A question before what can't be undone: the name has to be typed.

import { el } from "./dom.js";

// Answers whether the operator typed `name` and said yes.
export function confirmedByName({ name, title, text, yes }) {
  const field = el("input", { "aria-label": `type ${name} to confirm`, placeholder: name, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const button = el("button", { class: "danger", value: "yes", disabled: true }, yes);
  const dialog = el(
    "dialog",
    { class: "by-name", "aria-labelledby": "by-name-title" },
    el(
      "form",
      { method: "dialog" },
      el("h2", { id: "by-name-title" }, title),
      el("p", {}, text),
      el("label", { class: "check" }, "Type ", el("strong", {}, name), " to confirm:"),
      field,
      el("div", { class: "row end" }, el("button", { class: "quiet", type: "button", onclick: () => dialog.close("no") }, "cancel"), button),
    ),
  );
  field.addEventListener("input", () => (button.disabled = field.value.trim() !== name));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}
