/** The gateway's clock, as far as it can be told from here: the midpoint of the quickest of a few round trips. */

const TRIES = 5;
const PATIENCE_MS = 4000;

/** Unix milliseconds by this browser's own clock; unlike `Date.now()` it neither jumps nor rounds. */
const local = () => performance.timeOrigin + performance.now();

export class Clock {
  /** What to add to this browser's clock to get the gateway's, in milliseconds. */
  offset = 0;
  /** How far off `offset` may be, in milliseconds; Infinity before the first measurement. */
  error = Infinity;

  /** Unix milliseconds by the gateway's clock. */
  now() {
    return local() + this.offset;
  }

  /** Measure anew, as far as the gateway has room to answer.  Throws when it can't be reached. */
  async measure() {
    let best = null;
    for (let trial = 0; trial < TRIES; trial++) {
      const sample = await askOnce();
      if (sample !== null && (best === null || sample.error < best.error)) best = sample;
    }
    if (best === null) return;
    this.offset = best.offset;
    this.error = best.error;
  }
}

async function askOnce() {
  const url = new URL("page/clock", document.baseURI).href;
  const begun = performance.now();
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  // It is there, and has no room at the moment: that is no reason to give up a stream that stands.
  if (!answer.ok) return null;
  const { unix_ms: theirs } = await answer.json();
  const { requestStart: sent, responseStart: heard } = await timingOf(url, begun);
  const middle = performance.timeOrigin + (sent + heard) / 2;
  // Theirs is a whole number, rounded down.
  return { offset: theirs + 0.5 - middle, error: (heard - sent) / 2 + 0.5 };
}

/** The browser notes when the request itself went out: opening the connection would weigh on one way alone. */
async function timingOf(url, begun) {
  const ended = performance.now();
  await new Promise((resolve) => setTimeout(resolve));
  const entry = performance.getEntriesByName(url, "resource").at(-1);
  performance.clearResourceTimings();
  return entry?.requestStart > 0 ? entry : { requestStart: begun, responseStart: ended };
}
