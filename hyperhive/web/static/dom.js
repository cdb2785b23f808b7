// Make and update elements. What others wrote goes in as text nodes, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

// el("button", {class: "quiet", type: "button", onclick: f}, "text", child, …)
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

// The same for what is drawn: svg("rect", {x: 1, class: "bar"}, child, …)
export function svg(tag, properties = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(properties)) if (value != null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export const byId = (id) => document.getElementById(id);

// Write only what differs: selections and screen readers are left alone.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value == null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

// Make the children of `parent` those of `items`, in their order. A child whose
// key stays is updated in place, so that focus and typed text survive.
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  const wanted = new Set(items.map((item) => String(key(item))));
  for (const [name, node] of old) if (!wanted.has(name)) node.remove();
  const active = document.activeElement;
  let next = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let node = old.get(name);
    if (!node) {
      node = make(item);
      node.dataset.key = name;
    }
    update(node, item);
    if (node === next) next = next.nextElementSibling;
    else if (node.parentNode === parent && parent.moveBefore) parent.moveBefore(node, next); // keeps focus and scrolling
    else parent.insertBefore(node, next);
  }
  // Where a browser can't move, what is put elsewhere has lost the focus.
  if (active !== document.activeElement && parent.contains(active)) active.focus({ preventScroll: true });
}

const ICONS = {
  working: "M4 2.5v11l9-5.5z",
  idle: "M8 3.2a4.8 4.8 0 1 0 0 9.6 4.8 4.8 0 0 0 0-9.6zm0 1.6a3.2 3.2 0 1 1 0 6.4 3.2 3.2 0 0 1 0-6.4z",
  clock: "M8 1.8a6.2 6.2 0 1 0 0 12.4A6.2 6.2 0 0 0 8 1.8zm0 1.5a4.7 4.7 0 1 1 0 9.4 4.7 4.7 0 0 1 0-9.4zM7.3 4.6v3.9l2.9 1.8.7-1.2-2.2-1.3V4.6z",
  warn: "M8 1.5 15 14H1zm-.8 4.7.2 4h1.2l.2-4zM8 11.2a.9.9 0 1 0 0 1.8.9.9 0 0 0 0-1.8z",
  paused: "M4 3h3v10H4zm5 0h3v10H9z",
  stopped: "M3.5 3.5h9v9h-9z",
  key: "M5.5 5a3 3 0 1 0 2.8 4H10v2h2V9h1.5V7H8.3a3 3 0 0 0-2.8-2zm0 1.8a1.2 1.2 0 1 1 0 2.4 1.2 1.2 0 0 1 0-2.4z",
  moving: "M8 2a6 6 0 0 1 5.7 4.1l-1.5.5A4.4 4.4 0 0 0 4.4 5.5H6V7H2V3h1.4v1.3A6 6 0 0 1 8 2zM2.3 9.9l1.5-.5a4.4 4.4 0 0 0 7.8 1.1H10V9h4v4h-1.4v-1.3A6 6 0 0 1 2.3 9.9z",
  squeeze: "M2 7.2h12v1.6H2zM8 6 5 2.8h2V1h2v1.8h2zm0 4 3 3.2H9V15H7v-1.8H5z",
  failed: "m4.2 2.8 3.8 3.8 3.8-3.8 1.4 1.4L9.4 8l3.8 3.8-1.4 1.4L8 9.4l-3.8 3.8-1.4-1.4L6.6 8 2.8 4.2z",
};

export const icon = (name) =>
  svg("svg", { viewBox: "0 0 16 16", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] ?? ICONS.idle }));

// What the server put into the page for the first drawing.
export const firstState = () => JSON.parse(byId("state").dataset.state);

const styles = new Map();

// A style sheet that the first paint does without; resolves when it holds.
export function loadStyle(url) {
  const { href } = new URL(url);
  if (!styles.has(href)) {
    const link = el("link", { rel: "stylesheet", href });
    const loaded = new Promise((resolve) => {
      link.onload = link.onerror = resolve;
    });
    document.head.append(link);
    styles.set(href, loaded);
  }
  return styles.get(href);
}
