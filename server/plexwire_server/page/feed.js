/** One camera's canvas: the newest picture is drawn immediately, and reported once the screen has shown it. */

export class Feed {
  #canvas;
  #context;
  #painter;
  #listener;
  #shown = null;
  #unreported = null;

  /** `listener` has `painted(message)` and `skipped()`. */
  constructor(canvas, painter, listener) {
    this.#canvas = canvas;
    // No alpha: a JPEG has none, and the browser need not blend.
    this.#context = canvas.getContext("2d", { alpha: false });
    this.#painter = painter;
    this.#listener = listener;
  }

  /** The `video_frame` whose picture is on the canvas, or null. */
  get shown() {
    return this.#shown;
  }

  draw(bitmap, message) {
    // The picture knows its size; the message may say 0 x 0.  Setting a size clears the canvas, so only when it is new.
    if (this.#canvas.width !== bitmap.width) this.#canvas.width = bitmap.width;
    if (this.#canvas.height !== bitmap.height) this.#canvas.height = bitmap.height;
    this.#context.drawImage(bitmap, 0, 0);
    this.#shown = message;
    // Drawn over before the screen could show it.
    if (this.#unreported !== null) this.#listener.skipped();
    this.#unreported = message;
    this.#painter.ask(this);
  }

  close() {
    this.#unreported = null;
  }

  afterPaint() {
    const painted = this.#unreported;
    this.#unreported = null;
    if (painted !== null) this.#listener.painted(painted);
  }
}
