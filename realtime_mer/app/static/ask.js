// Shared by the pages: elements, questions to the user, and requests to the server.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const milliseconds = (seconds) => `${Math.round(1000 * seconds)} ms`;

// Asks with a button for each answer; resolves to the answer, "" after Escape.
export function ask(title, text, answers) {
  const buttons = answers.map(([value, words], i) =>
    make("button", { value, class: i === answers.length - 1 ? "mer-primary" : "mer-quiet" }, words));
  const dialog = make("dialog", { class: "mer-ask", "aria-labelledby": "mer-ask-title" },
    make("h2", { id: "mer-ask-title" }, title), make("p", {}, text),
    make("form", { method: "dialog" }, make("menu", {}, ...buttons)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((answer) => {
    dialog.onclose = () => {
      dialog.remove();
      answer(dialog.returnValue);
    };
  });
}

export class Refused extends Error {} // the server refused, and said why

// A request to the server: its JSON, or null when there is none. Throws Refused with the server's text, or a TypeError
export async function fetched(root, path, options = {}) {
  const answer = await fetch(root + path, { cache: "no-store", ...options });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw Object.assign(new Refused((await answer.text()).slice(0, 500) || `the server answered ${answer.status}`), { status: answer.status });
}

export const post = (root, path, values = {}) =>
  fetched(root, path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(values) });

// Whether the focused part of the page handles the key itself.
export const typing = (key) =>
  key.ctrlKey || key.metaKey || key.altKey || key.target.closest("input,select,textarea,dialog") !== null;

export function save(url, name = "") {
  const link = make("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
