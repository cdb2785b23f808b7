// Dark or light as the operator chose, before anything is drawn: a classic script, in the
// head. Without a choice the system's holds. Other tabs follow.

const applyTheme = () => {
  let theme = null;
  try {
    theme = localStorage.getItem("theme");
  } catch {
    // This browser keeps nothing for us: the system's choice holds.
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  dispatchEvent(new Event("theme"));
};

applyTheme();
addEventListener("storage", (event) => (event.key === "theme" || event.key === null) && applyTheme());
