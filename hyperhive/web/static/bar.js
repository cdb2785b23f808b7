// The bar on top of every page: its buttons, its actions, and the keys that work everywhere.

import { register } from "./actions.js";
import { isMuted, keepSettings } from "./alerts.js";
import { byId, setAttribute } from "./dom.js";
import { jump, JUMPS, listen } from "./keys.js";
import { attempt, toast } from "./net.js";
import { chooseTheme, theme, THEMES } from "./themes.js";

const home = document.querySelector(".bar.shell").dataset.home;
const here = location.pathname;

// Loaded when they are first asked for.
const openPalette = () => attempt(null, async () => (await import("./palette.js")).openPalette());
const openHelp = () => attempt(null, async () => (await import("./help.js")).openHelp());
const openAlerts = () => attempt(null, async () => (await import("./alert-settings.js")).openAlerts());
const logOut = () => document.querySelector('form[action="/logout"]').requestSubmit();

const mute = (until, said) => () => {
  keepSettings({ muted: until() });
  return said;
};

const inAnHour = () => Date.now() + 3600000;

function pageActions() {
  const page = (id, title, run, more) => ({ id, group: "Page", title, run, ...more });
  const to = (id, title, run, keys) => ({ id: `to-${id}`, group: "Go to", title, run, keys, words: "go jump section" });
  return [
    ...(home ? [to("dashboard", "dashboard", () => location.assign(home), "g d"), to("stats", "statistics", () => location.assign(`${home}stats`), "g s")] : []),
    ...(home ? Object.entries(JUMPS).map(([key, [id, words]]) => to(id, words, () => jump(id), `g ${key}`)) : []),
    ...Object.entries(THEMES).map(([name, words]) => page(`theme-${name}`, `theme: ${words}`, () => chooseTheme(name), { words: "appearance colours light dark auto" })),
    ...(home === "/" ? [page("alerts", "alerts: choose what is told", openAlerts, { words: "notifications settings" })] : []),
    isMuted() ? page("unmute", "unmute alerts", mute(() => 0, "Alerts are told again.")) : page("mute", "mute alerts for 1 h", mute(inAnHour, "Muted for an hour."), { words: "notifications quiet" }),
    page("help", "help: all keys", openHelp, { keys: "?", words: "docs documentation shortcuts keyboard" }),
    page("logout", "log out", logOut),
  ];
}

function nextTheme() {
  const names = Object.keys(THEMES);
  chooseTheme(names[(names.indexOf(theme()) + 1) % names.length]);
  toast(`Theme: ${THEMES[theme()]}.`);
}

const drawTheme = () => setAttribute(byId("theme"), "title", `theme: ${THEMES[theme()]}`);

byId("theme").addEventListener("click", nextTheme);
byId("find").addEventListener("click", openPalette);
byId("alerts")?.addEventListener("click", openAlerts);
addEventListener("theme", drawTheme);
drawTheme();
register(pageActions);
listen({ palette: openPalette, help: openHelp });
// What came by a link to a part of the dashboard goes there once it is drawn.
const part = location.hash.slice(1);
if (here === "/" && Object.values(JUMPS).some(([id]) => id === part)) requestAnimationFrame(() => jump(part));
