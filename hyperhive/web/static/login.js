// A browser that is logged in already goes on: after a link from another site
// the first request comes without our cookie.

const form = document.querySelector("form[data-after]");

const answer = await fetch("/api/state", { method: "HEAD", credentials: "same-origin" }).catch(() => null);
if (answer?.ok) location.replace(form.dataset.after);
