// What the page asks the server, with the token where one is wanted; a refusal is an error with the server's sentence.

const KEY = "narrows-token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export const token = {
  wanted: document.documentElement.dataset.token === "yes",
  get known() {
    return !this.wanted || sessionStorage.getItem(KEY) !== null;
  },
  set: (word) => sessionStorage.setItem(KEY, word),
  forget: () => sessionStorage.removeItem(KEY),
};

async function ask(path, options = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  const word = sessionStorage.getItem(KEY);
  if (token.wanted && word) headers.Authorization = `Bearer ${word}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused(0, "The server does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refused(answer.status, said.detail ?? `The server refused (${answer.status}).`);
}

export const get = async (path) => (await ask(path)).json();

export const picture = async (path) =>
  createImageBitmap(await (await ask(path, { headers: { Accept: "image/png" } })).blob());

export const post = async (path, body) =>
  (await ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  })).json();
