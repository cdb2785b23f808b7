// The page's sections: each folds, and the bar that jumps to them says what is in it.

import { byId, setAttribute, setText } from "./dom.js";
import { browser } from "./memory.js";

export function folding() {
  const folds = browser.get("folds", {});
  for (const part of document.querySelectorAll(".part")) {
    const button = part.querySelector(".head .fold");
    const open = (yes) => {
      button.setAttribute("aria-expanded", String(yes));
      part.toggleAttribute("data-folded", !yes);
    };
    open(!folds[part.id]);
    button.addEventListener("click", () => {
      folds[part.id] = button.getAttribute("aria-expanded") === "true";
      open(!folds[part.id]);
      browser.set("folds", folds);
    });
    part.addEventListener("unfold", () => open(true));
  }
  unfolded(location.hash.slice(1));
  addEventListener("hashchange", () => unfolded(location.hash.slice(1)));
  document.addEventListener("click", ({ target }) => unfolded(target.closest("a[href^='#']")?.hash.slice(1)));
}

// A link to something leads to where it can be seen.
function unfolded(id) {
  if (id) byId(id)?.closest(".part")?.dispatchEvent(new Event("unfold"));
}

// number: what is shown beside the section's name in the bar; urgent: it waits for
// the operator.
export function jumpCount(id, number, urgent = false) {
  const link = document.querySelector(`#jumps a[href="#${id}"]`);
  setText(link.querySelector(".number"), number ? String(number) : "");
  setAttribute(link, "data-urgent", urgent && number > 0);
}
