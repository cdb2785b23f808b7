// Which theme the operator has chosen, and how to choose another; theme.js puts it on.

export const THEMES = { auto: "as the system has it", dark: "dark", light: "light" };

export function theme() {
  const chosen = document.documentElement.dataset.theme;
  return Object.hasOwn(THEMES, chosen ?? "") ? chosen : "auto";
}

export function chooseTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    if (name === "auto") localStorage.removeItem("theme");
    else localStorage.setItem("theme", name);
  } catch {
    // It holds for this page: this browser keeps nothing for us.
  }
  dispatchEvent(new Event("theme"));
}
