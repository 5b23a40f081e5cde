/** When to try again, without a clock and without chance. */
import { CLOSES } from "./protocol.js";

const FIRST_S = 1;
const LONGEST_S = 30;
const VARIATION = 0.25;
/** A stream that ended sooner had not really begun: asking again at once, for ever, would harm the gateway. */
const TOO_SHORT_S = FIRST_S * (1 - VARIATION);
const TIMEOUT = 4008;

/** Whether the same key is worth another attempt after this close code. */
export const mayRetry = (code) => CLOSES[code]?.may_retry ?? true;

export class Backoff {
  /** Attempts in a row that came to nothing. */
  failures = 0;

  /** Return the seconds to wait after a stream that was closed with `code` and lasted so long, 0 if it never began. */
  pause(code, lasted_s, chance = Math.random()) {
    if (lasted_s >= TOO_SHORT_S) {
      this.failures = 0;
      if (code === TIMEOUT) return 0;
    }
    const pause = Math.min(LONGEST_S, FIRST_S * 2 ** this.failures);
    this.failures += 1;
    return pause * (1 + VARIATION * (2 * chance - 1));
  }
}
