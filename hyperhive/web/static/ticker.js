// One timer for everything that shows an age, and only while it can be seen.

const updates = new WeakMap(); // by element
const seen = new Set(); // elements in or near the window

const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && target.isConnected) {
        seen.add(target);
        updates.get(target)();
      } else {
        seen.delete(target);
      }
    }
  },
  { rootMargin: "200px" },
);

function tick() {
  if (document.hidden) return;
  for (const node of seen) {
    if (node.isConnected) updates.get(node)();
    else seen.delete(node);
  }
}

// Call update each second while the element is in view, and as it comes into view.
export function ticking(node, update) {
  updates.set(node, update);
  observer.observe(node);
  return node;
}

setInterval(tick, 1000);
document.addEventListener("visibilitychange", tick);

// Update an element only when its item is another object than the one that it shows.
export const whenNew = (update) => (node, item) => {
  if (node.item === item) return;
  node.item = item;
  update(node, item);
};
