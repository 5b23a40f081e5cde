/**
 * One stream, kept alive: WebSocket, auth, init, pictures, and again after a pause whenever it ends and may go on.
 *
 * It tells its `listener` of everything by these methods:
 *   connecting()                     a WebSocket is being opened
 *   live(onlineSources)              the gateway accepted the key, or said anew what is online
 *   frame(message)                   a `video_frame`, still in base64
 *   unreadable()                     a message that could not be read, and was passed over
 *   deviation({clause, path, problem})   the gateway breaks a clause and is understood all the same; once for each kind
 *   upstream(message)                `gateway_reconnecting`: stay, the gateway tries
 *   waiting({code, reason, pause_s, failures})   it ended; another attempt follows in pause_s seconds
 *   ended({code, reason})            it ended, and the same key is of no use
 */
import { Backoff, mayRetry } from "./backoff.js";
import { readInit } from "./init.js";
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
  #hasInit = false;
  #deviations = new Set();

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
    switch (message?.type) {
      case "init":
        this.#takeInit(message);
        break;
      case "video_frame":
        if (typeof message.camera_id === "string" && typeof message.frame === "string") {
          this.#takeFrame(message);
        } else {
          this.#listener.unreadable();
        }
        break;
      case "gateway_reconnecting":
        this.#listener.upstream(message);
        break;
      default:
        // A type that we don't know is none of our business; what has no type is no message.
        if (typeof message?.type !== "string") {
          // The first that comes after the auth is the init; there is no other to wait for.
          if (this.#liveSince === null) this.#begin([]);
          this.#listener.unreadable();
        }
    }
  }

  #takeInit(message) {
    if (this.#hasInit) this.#deviates({ clause: "PW-INIT-1", path: "message", problem: "is an init after the first" });
    this.#hasInit = true;
    const { sources, deviations } = readInit(message);
    deviations.forEach((deviation) => this.#deviates(deviation));
    this.#begin(sources);
  }

  #takeFrame(message) {
    if (this.#liveSince === null) {
      this.#deviates({ clause: "PW-INIT-3", path: "message", problem: "is a frame before the init" });
      this.#begin([]);
    }
    if (typeof message.source_id !== "string") {
      this.#deviates({ clause: "PW-FRAME-1", path: "source_id", problem: "is missing" });
    }
    this.#listener.frame(message);
  }

  #begin(sources) {
    if (this.#liveSince === null) {
      this.#arm(0, null);
      this.#liveSince = performance.now();
    }
    this.#listener.live(sources);
  }

  #deviates(deviation) {
    const { clause, path, problem } = deviation;
    const kind = `${clause} ${path.replace(/[0-9]+/g, "")} ${problem}`;
    if (this.#deviations.has(kind)) return;
    this.#deviations.add(kind);
    this.#listener.deviation(deviation);
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
    this.#hasInit = false;
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
