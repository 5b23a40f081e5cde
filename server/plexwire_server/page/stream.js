/**
 * One stream, kept alive: WebSocket, auth, init, pictures, and again after a pause whenever it ends and may go on.
 *
 * It tells its `listener` of everything by these methods:
 *   connecting()                     a WebSocket is being opened
 *   live(onlineSources)              the gateway accepted the key
 *   frame(message)                   a `video_frame`, still in base64
 *   unreadable()                     a message that could not be read, and was passed over
 *   upstream(message)                `gateway_reconnecting`: stay, the gateway tries
 *   waiting({code, reason, pause_s, failures})   it ended; another attempt follows in pause_s seconds
 *   ended({code, reason})            it ended, and the same key is of no use
 */
import { Backoff, mayRetry } from "./backoff.js";
import { LIMITS } from "./protocol.js";

/** What we report, in the place of a close code, when the gateway left us without an answer or could not be reached. */
export const NO_ANSWER = "no-answer";
export const UNREACHABLE = "unreachable";

const ABNORMAL = 1006;

export class Stream {
  #url;
  #apiKey;
  #listener;
  #backoff = new Backoff();
  #socket = null;
  #timer = 0;
  #opened = false;
  #liveSince = null;
  #heardAt = 0;

  constructor(url, apiKey, listener) {
    this.#url = url;
    this.#apiKey = apiKey;
    this.#listener = listener;
  }

  /** Seconds since the last message; Infinity while there is no stream. */
  get silent_s() {
    return this.#liveSince === null ? Infinity : (performance.now() - this.#heardAt) / 1000;
  }

  /** Whether another attempt lies ahead, and none is under way. */
  get isWaiting() {
    return this.#socket === null && this.#timer !== 0;
  }

  start() {
    this.#drop();
    this.#opened = false;
    this.#listener.connecting();
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#arm(LIMITS.answer_s, () => this.#over({ code: UNREACHABLE, reason: "" }));
    socket.onopen = () => {
      this.#opened = true;
      socket.send(JSON.stringify({ type: "auth", api_key: this.#apiKey }));
      this.#arm(LIMITS.answer_s, () => this.#over({ code: NO_ANSWER, reason: "" }));
    };
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) =>
      this.#over({ code: code === ABNORMAL && !this.#opened ? UNREACHABLE : code, reason });
  }

  /** End it for good. */
  stop() {
    this.#drop();
  }

  /** Take the stream for lost, whatever the WebSocket believes. */
  lost() {
    this.#over({ code: ABNORMAL, reason: "" });
  }

  #receive(data) {
    this.#heardAt = performance.now();
    let message = null;
    try {
      message = JSON.parse(data);
    } catch {
      // Counted below.
    }
    if (this.#liveSince === null) {
      if (message?.type === "init") this.#begin(message);
      return;
    }
    switch (message?.type) {
      case "video_frame":
        if (typeof message.camera_id === "string" && typeof message.frame === "string") {
          this.#listener.frame(message);
        } else {
          this.#listener.unreadable();
        }
        break;
      case "gateway_reconnecting":
        this.#listener.upstream(message);
        break;
      default:
        // A type that we don't know is none of our business; what has no type is no message.
        if (typeof message?.type !== "string") this.#listener.unreadable();
    }
  }

  #begin(init) {
    this.#arm(0, null);
    this.#liveSince = performance.now();
    this.#listener.live(Array.isArray(init.online_sources) ? init.online_sources : []);
  }

  #over(end) {
    const lasted_s = this.#liveSince === null ? 0 : (performance.now() - this.#liveSince) / 1000;
    this.#drop();
    if (!mayRetry(end.code)) {
      this.#listener.ended(end);
      return;
    }
    const pause_s = this.#backoff.pause(end.code, lasted_s);
    this.#arm(pause_s, () => this.start());
    this.#listener.waiting({ ...end, pause_s, failures: this.#backoff.failures });
  }

  #drop() {
    this.#arm(0, null);
    this.#liveSince = null;
    const socket = this.#socket;
    this.#socket = null;
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
  }

  #arm(seconds, action) {
    clearTimeout(this.#timer);
    this.#timer = action === null ? 0 : setTimeout(action, seconds * 1000);
  }
}
