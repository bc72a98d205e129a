// Where one is: a code, and the example that it came from if one has not moved since.

export class Place {
  code = null;
  given = null;
  #watchers = [];

  watch(watcher) {
    this.#watchers.push(watcher);
  }

  /** Go to a code; `given` is { value, words } of an example that has it. */
  go(code, given = null) {
    this.code = code;
    this.given = given;
    this.#watchers.forEach((watcher) => watcher(this));
  }
}
