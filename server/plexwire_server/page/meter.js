/** Numbers of one camera over the last seconds; times are milliseconds of any one clock. */

const WINDOW_MS = 3000;

export class Meter {
  skipped = 0;
  broken = 0;
  #paints = [];

  /** Note a picture that was out at `at`, so long after the device stamped it. */
  painted(at, latency) {
    this.#paints.push({ at, latency });
    this.#forget(at);
  }

  /** Return pictures a second and the median latency, null where there is nothing to tell. */
  read(now) {
    this.#forget(now);
    const count = this.#paints.length;
    if (count === 0) return { fps: null, latency: null };
    const span = this.#paints[count - 1].at - this.#paints[0].at;
    const latencies = this.#paints.map(({ latency }) => latency).sort((a, b) => a - b);
    return { fps: span > 0 ? (1000 * (count - 1)) / span : null, latency: latencies[count >> 1] };
  }

  #forget(now) {
    const old = this.#paints.findIndex(({ at }) => at > now - WINDOW_MS);
    this.#paints.splice(0, old < 0 ? this.#paints.length : old);
  }
}
