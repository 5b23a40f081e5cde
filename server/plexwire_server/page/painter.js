/** Tells, once a frame of the screen, everyone who has drawn since the last one that it is out. */

export class Painter {
  #drawn = new Set();
  #after = new MessageChannel();

  constructor() {
    // A message that is posted while painting arrives when the browser has done its part of that frame.
    this.#after.port1.onmessage = () => {
      const drawn = [...this.#drawn];
      this.#drawn.clear();
      for (const feed of drawn) feed.afterPaint();
    };
  }

  /** Have `feed.afterPaint()` called once what it has drawn is out. */
  ask(feed) {
    if (this.#drawn.size === 0) requestAnimationFrame(() => this.#after.port2.postMessage(null));
    this.#drawn.add(feed);
  }
}
