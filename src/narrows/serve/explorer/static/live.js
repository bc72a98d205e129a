// Work that follows a hand: one request on its way at a time, the latest wish next, drawn once a frame.

const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));

/** Turn work into a function that may be called as often as one likes; `failed` is told what went wrong. */
export function latest(work, failed) {
  let wish = null;
  let busy = false;
  return async function want(...given) {
    wish = given;
    if (busy) return;
    busy = true;
    while (wish) {
      const now = wish;
      wish = null;
      try {
        await work(...now);
      } catch (error) {
        failed(error);
      }
      await frame();
    }
    busy = false;
  };
}

/** Call a function once it has not been asked for during some milliseconds. */
export function settled(work, milliseconds) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), milliseconds);
  };
}
