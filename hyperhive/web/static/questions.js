// What agents ask the operator, and the forms that answer.

import { el, setText } from "./dom.js";
import { mailboxName } from "./message.js";
import { attempt, post } from "./net.js";
import { age, moment } from "./words.js";

export const oldestFirst = (questions) => [...questions.values()].sort((a, b) => a.id - b.id);

export function makeQuestion(question) {
  const { id, options = [], multi } = question;
  const name = `question-${id}`;
  const boxes = options.map((option) => el("input", { type: multi ? "checkbox" : "radio", name, value: option }));
  const own = el("textarea", { rows: 2, maxlength: 8000, placeholder: options.length ? "or in your own words" : "your answer", "aria-label": `answer to question ${id}` });
  const answer = el("button", { class: "primary", type: "submit" }, "4NSWER");
  const cancel = el("button", { class: "quiet", type: "button" }, "don't answer");
  cancel.addEventListener("click", () => attempt(cancel, () => post(`cancel-question/${id}`), `Question ${id} is closed.`));
  const form = el(
    "form",
    { class: "answer" },
    options.length
      ? el("fieldset", {}, el("legend", { class: "unseen" }, multi ? "choose any" : "choose one"), ...options.map((option, place) => el("label", { class: "row" }, boxes[place], option)))
      : null,
    own,
    el("div", { class: "row end" }, cancel, answer),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    const text = [...chosen, own.value.trim()].filter(Boolean).join("\n");
    if (text) attempt(answer, () => post(`answer-question/${id}`, { answer: text }), "Answered.");
    else own.focus();
  });
  return el(
    "li",
    { class: "question" },
    el(
      "div",
      { class: "route" },
      mailboxName(question.asker),
      el("span", { class: "grow" }),
      el("span", { class: "until dim" }, question.expires_at ? `until ${moment(question.expires_at)}` : ""),
      el("time", { class: "dim", datetime: question.asked_at, title: new Date(question.asked_at).toLocaleString() }),
    ),
    el("p", { class: "body" }, question.question),
    form,
  );
}

export function updateQuestion(node, question) {
  setText(node.querySelector("time"), age(question.asked_at));
}
