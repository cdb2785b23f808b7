// What agents ask the operator, and the forms that answer.

import { el, setAttribute, setText } from "./dom.js";
import { keepDraft } from "./memory.js";
import { mailboxName } from "./message.js";
import { attempt, post } from "./net.js";
import { ticking } from "./ticker.js";
import { age, remaining } from "./words.js";

export const oldestFirst = (questions) => [...questions.values()].sort((a, b) => a.id - b.id);

export function makeQuestion(question) {
  const { id, options = [], multi } = question;
  const name = `question-${id}`;
  const boxes = options.map((option) => el("input", { type: multi ? "checkbox" : "radio", name, value: option }));
  const own = el("textarea", { rows: 2, maxlength: 8000, placeholder: options.length ? "or in your own words" : "your answer", "aria-label": `answer to question ${id}` });
  const forget = keepDraft(own, name);
  const answer = el("button", { class: "primary", type: "submit" }, "4NSWER");
  const cancel = el("button", { class: "quiet", type: "button" }, "don't answer");
  cancel.addEventListener("click", async () => {
    if (await attempt(cancel, () => post(`cancel-question/${id}`), `Question ${id} is closed.`)) forget();
  });
  const form = el(
    "form",
    { class: "answer" },
    options.length
      ? el("fieldset", {}, el("legend", { class: "dim" }, multi ? "choose any" : "choose one"), ...options.map((option, place) => el("label", { class: "option" }, boxes[place], el("span", {}, option))))
      : null,
    own,
    el("div", { class: "row end" }, el("small", { class: "dim grow" }, "Ctrl+Enter answers"), cancel, answer),
  );
  own.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const text = [...chosen, own.value.trim()].filter(Boolean).join("\n");
    if (!text) own.focus();
    else if (await attempt(answer, () => post(`answer-question/${id}`, { answer: text }), "Answered.")) forget();
  });
  const node = el(
    "li",
    { class: "question", id: `question-${id}`, tabindex: -1 },
    el(
      "div",
      { class: "route" },
      mailboxName(question.asker),
      el("span", { class: "dim" }, "asks"),
      el("span", { class: "grow" }),
      el("span", { class: "until" }),
      el("time", { class: "dim", datetime: question.asked_at, title: new Date(question.asked_at).toLocaleString() }),
    ),
    el("p", { class: "body" }, question.question),
    form,
  );
  return ticking(node, () => node.item && updateQuestion(node, node.item));
}

export function updateQuestion(node, question) {
  setText(node.querySelector("time"), age(question.asked_at));
  const until = node.querySelector(".until");
  const { words, share } = remaining(question.asked_at, question.expires_at);
  setText(until, words);
  setAttribute(until, "data-tone", share < 0.2 ? "bad" : "wait");
}
