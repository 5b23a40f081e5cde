/** One camera's canvas: a picture is painted in the next frame of the screen, unless a newer one has come by then. */

export class Feed {
  #canvas;
  #context;
  #painter;
  #listener;
  #ready = null;
  #shown = null;
  #closed = false;

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

  /** Take a decoded picture, and close it when it is painted or skipped. */
  take(bitmap, message) {
    if (this.#ready !== null) {
      this.#ready.bitmap.close();
      this.#listener.skipped();
    }
    this.#ready = { message, bitmap };
    this.#painter.ask(this);
  }

  close() {
    this.#closed = true;
    this.#ready?.bitmap.close();
    this.#ready = null;
  }

  paint() {
    if (this.#ready === null) return;
    const { message, bitmap } = this.#ready;
    this.#ready = null;
    // The picture knows its size; the message may say 0 x 0.  Setting a size clears the canvas, so only when it is new.
    if (this.#canvas.width !== bitmap.width) this.#canvas.width = bitmap.width;
    if (this.#canvas.height !== bitmap.height) this.#canvas.height = bitmap.height;
    this.#context.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.#shown = message;
  }

  afterPaint() {
    if (!this.#closed && this.#shown !== null) this.#listener.painted(this.#shown);
  }
}
