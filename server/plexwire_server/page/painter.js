/** Paints on the screen's own beat: once a frame, whoever asked for it; then tells them when the picture was out. */

export class Painter {
  #asked = new Set();
  #painted = [];
  #after = new MessageChannel();

  constructor() {
    // A message that is posted while painting arrives when the browser has done its part of that frame.
    this.#after.port1.onmessage = () => {
      const painted = this.#painted;
      this.#painted = [];
      for (const feed of painted) feed.afterPaint();
    };
  }

  /** Have `feed.paint()` called in the next frame of the screen, and `feed.afterPaint()` once it is out. */
  ask(feed) {
    if (this.#asked.size === 0) requestAnimationFrame(() => this.#paint());
    this.#asked.add(feed);
  }

  #paint() {
    this.#painted.push(...this.#asked);
    this.#asked.clear();
    for (const feed of this.#painted) feed.paint();
    this.#after.port2.postMessage(null);
  }
}
