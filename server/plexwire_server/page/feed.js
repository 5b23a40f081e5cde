/**
 * One camera's pictures, from message to canvas, never more than one behind.
 *
 * At most one picture is being decoded; the newest of those that came meanwhile waits, the others are skipped.
 * A decoded one is painted in the next frame of the screen, unless a newer one is ready by then.
 */
import { decode } from "./jpeg.js";

export class Feed {
  #canvas;
  #context;
  #painter;
  #listener;
  #waiting = null;
  #decoding = false;
  #ready = null;
  #shown = null;
  #paused = false;
  #closed = false;

  /** `listener` has `painted(message)`, `skipped()` and `broken(error)`. */
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

  get paused() {
    return this.#paused;
  }

  /** Take a `video_frame`; a picture that nobody can see, or wants to, costs no decoding. */
  take(message) {
    if (this.#paused) return;
    if (this.#waiting !== null && !document.hidden) this.#listener.skipped();
    this.#waiting = message;
    this.pump();
  }

  /** Hold the picture that is shown, or go on with the next that comes. */
  pause(held) {
    this.#paused = held;
    if (held) this.#waiting = null;
  }

  close() {
    this.#closed = true;
    this.#waiting = null;
    this.#ready?.bitmap.close();
    this.#ready = null;
  }

  /** Decode what waits, if nothing else is being decoded.  To be called when the page is seen again, too. */
  async pump() {
    while (this.#waiting !== null && !this.#decoding && !document.hidden) {
      const message = this.#waiting;
      this.#waiting = null;
      this.#decoding = true;
      try {
        this.#offer(message, await decode(message.frame));
      } catch (error) {
        if (!this.#closed) this.#listener.broken(error);
      } finally {
        this.#decoding = false;
      }
    }
  }

  #offer(message, bitmap) {
    if (this.#closed || this.#paused) {
      bitmap.close();
      return;
    }
    if (this.#ready !== null) {
      this.#ready.bitmap.close();
      this.#listener.skipped();
    }
    this.#ready = { message, bitmap };
    this.#painter.ask(this);
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
