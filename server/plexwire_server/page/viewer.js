/**
 * Watch one source's cameras live, in any browser and from any origin; nothing to install or build.
 * viewer.d.ts documents every option, callback and method.
 */

// generated: what the core says
export const CLOSES = {
  "1000": "The stream has ended.",
  "1001": "The gateway is shutting down; reconnect in a moment.",
  "1002": "The other side broke the protocol.",
  "1006": "The connection was lost.",
  "1007": "A text message was not UTF-8.",
  "1009": "A message was larger than the gateway accepts.",
  "1011": "The gateway had an internal error; try again.",
  "1013": "The gateway has no room for one more stream; try again later.",
  "4001": "The gateway did not accept the key, or got none in time.",
  "4002": "The plan of this key does not include API access.",
  "4008": "The requested time has passed; reconnect to continue."
};
const OTHER = "The connection was closed with code {code}.";
const FINAL = [4001, 4002];
export const LIMITS = {
  "answer_s": 10.0,
  "source_id": "[a-z0-9][a-z0-9._-]{0,255}",
  "id_bytes": 255,
  "cameras": 64,
  "timeout_s": 2147483647,
  "default_camera": "default"
};
// end

/** Reported instead of a close code. */
export const NO_ANSWER = "no-answer";
export const UNREACHABLE = "unreachable";
const SENTENCES = {
  ...CLOSES,
  [NO_ANSWER]: "The gateway did not answer the key in time.",
  [UNREACHABLE]: "The gateway can’t be reached.",
};
const ABNORMAL = 1006;
const TIMEOUT = 4008;
const SECURE = { "https:": true, "wss:": true, "http:": false, "ws:": false };

const FIRST_S = 1;
const LONGEST_S = 30;
const VARIATION = 0.25;
/** A stream that ended sooner had not really begun: connecting again immediately would harm the gateway. */
const TOO_SHORT_S = FIRST_S * (1 - VARIATION);

export function streamUrl({ url, source, cameras = [], timeout }) {
  const stream = new URL(url, globalThis.document?.baseURI);
  const secure = SECURE[stream.protocol];
  if (secure === undefined) throw new RangeError("The gateway's URL begins with wss://, https://, ws:// or http://.");
  stream.protocol = secure ? "wss:" : "ws:";
  stream.pathname = `${stream.pathname.replace(/\/$/, "")}/v1/sources/${encodeURIComponent(source)}/video/stream`;
  const values = cameras.map((camera) => `camera_id=${encodeURIComponent(camera)}`);
  if (timeout) values.push(`timeout=${timeout}`);
  stream.search = values.join("&");
  stream.hash = "";
  return stream.href;
}

export const jpegOf = ({ frame }) =>
  Uint8Array.fromBase64?.(frame) ?? Uint8Array.from(atob(frame), (byte) => byte.charCodeAt(0));

export const mayRetry = (code) => !FINAL.includes(code);

export function backoff() {
  let failures = 0;
  return (code, lasted_s, chance = Math.random()) => {
    if (lasted_s >= TOO_SHORT_S) {
      failures = 0;
      if (code === TIMEOUT) return 0;
    }
    const pause = Math.min(LONGEST_S, FIRST_S * 2 ** failures++);
    return pause * (1 + VARIATION * (2 * chance - 1));
  };
}

/** Read an `init` as far as it can be understood. */
function readInit(init, deviates) {
  const wrong = (path, problem) => deviates("PW-INIT-4", path, problem) ?? [];
  const listOf = (value, path, read) =>
    Array.isArray(value)
      ? value.flatMap((one, at) => read(one, `${path}[${at}]`))
      : wrong(path, value === undefined ? "is missing" : "is not a list");
  const cameraOf = (value, path) => {
    if (typeof value === "string") return value;
    wrong(path, "is not a string");
    return typeof value?.camera_id === "string" ? value.camera_id : [];
  };
  const sourceOf = (value, path) =>
    typeof value?.source_id === "string"
      ? { source_id: value.source_id, cameras: listOf(value.cameras, `${path}.cameras`, cameraOf) }
      : wrong(path, "is not an object with a source_id");
  return listOf(init.online_sources, "online_sources", sourceOf);
}

const decode = async (message) => createImageBitmap(new Blob([jpegOf(message)], { type: "image/jpeg" }));

/** One camera: at most one picture is being decoded and handled; the newest of those that came meanwhile waits. */
export function newestWins(options) {
  let waiting = null;
  let busy = false;
  const hidden = () => !options.whileHidden && globalThis.document?.hidden;
  /** Decode the picture that waits, unless another is being decoded or the page is hidden. */
  const pump = async () => {
    while (waiting && !busy && !hidden()) {
      const message = waiting;
      waiting = null;
      if (!options.onFrame || options.wanted?.(message) === false) continue;
      busy = true;
      let bitmap;
      try {
        bitmap = await decode(message).catch((error) => {
          options.onBroken?.(message, error);
        });
        if (bitmap) await options.onFrame?.(bitmap, message);
      } catch (error) {
        reportError(error);
      }
      bitmap?.close();
      busy = false;
    }
  };
  const take = (message) => {
    if (waiting && !hidden()) options.onSkip?.(waiting);
    waiting = message;
    pump();
  };
  return { take, pump };
}

export function watch(given) {
  const { source, key } = given;
  if (!source || !key) throw new RangeError(`The ${source ? "key" : "source"} is missing.`);
  const cameras = given.cameras?.length ? given.cameras : [LIMITS.default_camera];
  const url = streamUrl({ ...given, cameras });
  const options = { ...given };
  const pictures = new Map(cameras.map((camera) => [camera, newestWins(options)]));
  const pause = backoff();
  const deviations = new Set();
  const listening = new AbortController();
  let socket = null;
  let timer = 0;
  let liveSince = null;
  let heardAt = 0;

  const tell = (callback, ...what) => {
    try {
      options[callback]?.(...what);
    } catch (error) {
      reportError(error);
    }
  };

  const arm = (seconds, action) => {
    clearTimeout(timer);
    timer = action ? setTimeout(action, seconds * 1000) : 0;
  };

  const drop = () => {
    arm(0, null);
    liveSince = null;
    const dropped = socket;
    socket = null;
    if (!dropped) return;
    dropped.onopen = dropped.onmessage = dropped.onclose = null;
    dropped.close(1000);
  };

  const over = (code, reason = "") => {
    const lasted_s = liveSince === null ? 0 : (performance.now() - liveSince) / 1000;
    drop();
    const retry_s = mayRetry(code) ? pause(code, lasted_s) : null;
    if (retry_s !== null) arm(retry_s, start);
    tell("onEnd", { code, reason, sentence: SENTENCES[code] ?? OTHER.replace("{code}", code), retry_s });
  };

  const deviates = (clause, path, problem) => {
    const kind = `${clause} ${path.replace(/[0-9]+/g, "")} ${problem}`;
    if (!deviations.has(kind)) tell("onDeviation", { clause, path, problem });
    deviations.add(kind);
  };

  const begin = (sources) => {
    if (liveSince === null) {
      arm(0, null);
      liveSince = performance.now();
    }
    tell("onInit", sources);
  };

  const takeFrame = (message) => {
    if (liveSince === null) {
      deviates("PW-INIT-3", "message", "is a frame before the init");
      begin([]);
    }
    if (typeof message.source_id !== "string") deviates("PW-FRAME-1", "source_id", "is missing");
    // One without a source is of the source that was asked for; some gateways let others slip in.
    if ((message.source_id ?? source) !== source || !pictures.has(message.camera_id)) return;
    tell("onMessage", message);
    pictures.get(message.camera_id).take(message);
  };

  const start = () => {
    drop();
    let opened = false;
    let hasInit = false;
    const mine = new WebSocket(url);
    socket = mine;
    arm(LIMITS.answer_s, () => over(UNREACHABLE));
    socket.onopen = () => {
      opened = true;
      mine.send(JSON.stringify({ type: "auth", api_key: key }));
      arm(LIMITS.answer_s, () => over(NO_ANSWER));
    };
    socket.onclose = ({ code, reason }) => over(code === ABNORMAL && !opened ? UNREACHABLE : code, reason);
    socket.onmessage = ({ data }) => {
      heardAt = performance.now();
      let message = null;
      try {
        message = JSON.parse(data);
      } catch {
        // Reported below.
      }
      const type = message?.type;
      if (type === "init") {
        if (hasInit) deviates("PW-INIT-1", "message", "is an init after the first");
        hasInit = true;
        tell("onMessage", message);
        begin(readInit(message, deviates));
      } else if (type === "video_frame") {
        const readable = typeof message.camera_id === "string" && typeof message.frame === "string";
        readable ? takeFrame(message) : tell("onUnreadable");
      } else if (type === "gateway_reconnecting") {
        tell("onMessage", message);
      } else if (typeof type !== "string") {
        // The first message after the auth is the init; no other will come.
        if (liveSince === null) begin([]);
        tell("onUnreadable");
      }
    };
    tell("onConnecting");
  };

  const stream = {
    get isWaiting() {
      return !socket && timer !== 0;
    },
    get silent_s() {
      return liveSince === null ? Infinity : (performance.now() - heardAt) / 1000;
    },
    retry() {
      if (stream.isWaiting) start();
    },
    lost() {
      if (socket) over(ABNORMAL);
    },
    close() {
      // From here on nothing is reported or decoded.
      for (const name of Object.keys(options)) delete options[name];
      listening.abort();
      drop();
    },
  };
  const { signal } = listening;
  globalThis.addEventListener("online", stream.retry, { signal });
  globalThis.document?.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    stream.retry();
    for (const each of pictures.values()) each.pump();
  }, { signal });
  start();
  return stream;
}
