/**
 * Watch one source's cameras live, in any browser and from any origin.
 *
 * A gateway serves the module at /page/viewer.js:
 *
 *     import { watch } from "https://gateway.example/page/viewer.js";
 */

/**
 * Open a stream, and keep it open: after every end but 4001 and 4002 the module connects again, immediately after 4008 and
 * otherwise after a pause of 1 s that doubles up to 30 s (± 25 %).  It also connects again when the browser is back online,
 * and when a hidden page is shown again.
 *
 * @throws RangeError if `source` or `key` is missing, or `url` has a scheme other than ws, wss, http or https.
 * @throws TypeError | SyntaxError | DOMException if the browser accepts no WebSocket for `url`, such as ws:// on a page of https://.
 */
export function watch(options: WatchOptions): Stream;

/** What to watch, and what to call.  An error thrown by a callback is reported by the browser; the stream goes on. */
export interface WatchOptions {
  /** The gateway's base, such as `wss://gateway.example`.  wss:// and https:// are encrypted, ws:// and http:// are not. */
  url: string;
  /** The source id. */
  source: string;
  /** The cameras, at most 64.  Default: the camera `default`. */
  cameras?: string[];
  /** Whole seconds after which the gateway ends each connection (4008); the module then connects again.  Default: none. */
  timeout?: number | string;
  /** The API key.  It is sent in the first message and is never part of a URL. */
  key: string;
  /**
   * A picture.  While it is being decoded and until this returns, or the promise it returns is settled, only the newest picture
   * of the same camera waits; older ones are skipped.  The module then closes `bitmap`: draw it or copy it, don't keep it.
   * `bitmap.width` and `bitmap.height` are the picture's size; the message may say 0 × 0.
   */
  onFrame?(bitmap: ImageBitmap, message: VideoFrame): void | Promise<void>;
  /** The gateway accepted the key, or says again what is online.  `sources` is empty if its message can't be read. */
  onInit?(sources: OnlineSource[]): void;
  /**
   * Every message about the source and cameras watched, as the gateway wrote it, before anything is decoded.  A gateway that
   * deviates from the schemas may lack members; only a frame's `camera_id` and `frame` are checked.
   */
  onMessage?(message: Message): void;
  /** A connection ended, or could not be made. */
  onEnd?(end: End): void;
  /** A WebSocket is being opened, for the first time or again. */
  onConnecting?(): void;
  /** The gateway deviates from a clause of the specification, and is understood all the same.  Each kind is reported once. */
  onDeviation?(deviation: Deviation): void;
  /** A message could not be read and was ignored. */
  onUnreadable?(): void;
  /** A newer picture came before this one could be decoded. */
  onSkip?(message: VideoFrame): void;
  /** A picture could not be decoded. */
  onBroken?(message: VideoFrame, error: unknown): void;
  /** Return false to drop a picture before it is decoded, for example while its camera is paused. */
  wanted?(message: VideoFrame): boolean;
  /** Decode also while the page is hidden.  Default: false; the newest picture then waits until the page is shown. */
  whileHidden?: boolean;
}

export interface Stream {
  /** End the stream for good.  No callback is called any more. */
  close(): void;
  /** Connect again now instead of after the pause.  Without effect unless `isWaiting`. */
  retry(): void;
  /** Take the connection for lost (1006) if you know better than the browser; the module connects again after a pause. */
  lost(): void;
  /** Whether the stream has ended and the next attempt lies ahead. */
  readonly isWaiting: boolean;
  /** Seconds since the gateway's last message; Infinity before its `init` and between connections. */
  readonly silent_s: number;
}

export interface OnlineSource {
  source_id: string;
  cameras: string[];
}

export interface End {
  /** The WebSocket's close code, or why there is none. */
  code: number | typeof NO_ANSWER | typeof UNREACHABLE;
  /** What the gateway said; show or log it, and decide nothing by it. */
  reason: string;
  /** What the code means, in English. */
  sentence: string;
  /** Seconds until the next attempt; null if the same key is of no use, so none follows. */
  retry_s: number | null;
}

export interface Deviation {
  /** Such as `PW-INIT-4`; `plexwire spec PW-INIT-4` prints it. */
  clause: string;
  /** The member, such as `online_sources[0].cameras`. */
  path: string;
  /** Such as `is not a list`. */
  problem: string;
}

/** The gateway did not answer the key within 10 s. */
export const NO_ANSWER: "no-answer";
/** The gateway could not be reached, or refused the handshake. */
export const UNREACHABLE: "unreachable";

/** Return the URL of the WebSocket that `watch` opens for these options. */
export function streamUrl(options: Pick<WatchOptions, "url" | "source" | "cameras" | "timeout">): string;

/** Return the JPEG of a frame, to the byte.  Throws if it is not base64. */
export function jpegOf(message: Pick<VideoFrame, "frame">): Uint8Array<ArrayBuffer>;

/** Whether the same key is worth another attempt after this close code. */
export function mayRetry(code: End["code"]): boolean;

/** Return a function from how a stream ended to the seconds to wait; `chance` is in [0, 1).  `watch` uses one. */
export function backoff(): (code: End["code"], lasted_s: number, chance?: number) => number;

/** Return what `watch` decodes one camera with: `take` each message; `pump` when the page is shown again. */
export function newestWins(
  options: Pick<WatchOptions, "onFrame" | "onSkip" | "onBroken" | "wanted" | "whileHidden">,
): { take(message: VideoFrame): void; pump(): Promise<void> };

/** What the known close codes mean, in English. */
export const CLOSES: Readonly<Record<string, string>>;

/** The protocol's limits: seconds for an answer, the pattern of source ids, bytes of an id, cameras and seconds of a stream. */
export const LIMITS: Readonly<{
  answer_s: number;
  source_id: string;
  id_bytes: number;
  cameras: number;
  timeout_s: number;
  default_camera: string;
}>;

// generated: messages of a gateway, from the JSON Schemas of the specification
/** The answer to a good `auth`.  Sent once, at once, before any `video_frame`. */
export interface Init {
  type: "init";
  /** What is online now; the source of the address at most, where the gateway follows PW-INIT-8. */
  online_sources: Array<{
    /** A source that is online. */
    source_id: string;
    /** Its cameras that are online. */
    cameras: Array<string>;
  }>;
}

/** One picture for a viewer.  Sent as it comes from the device; never repeated, dropped when the viewer can't keep up. */
export interface VideoFrame {
  type: "video_frame";
  /** The source that the picture comes from: the one that its device authenticated as. */
  source_id: string;
  /** The camera: free text of at most 255 bytes of UTF-8, possibly empty. */
  camera_id: string;
  /** The JPEG, from its first bytes FF D8 on, as padded base64 (RFC 4648 section 4) without white space. */
  frame: string;
  /** Width of the picture in `frame`; 0 where the device could not tell.  Unit: pixels. */
  width: number;
  /** Height of the picture in `frame`; 0 where the device could not tell.  Unit: pixels. */
  height: number;
  /** When the picture was taken, by the clock of the device.  Unit: ms since 1970-01-01 UTC. */
  timestamp: number;
  /** `thermal` for a picture of a thermal camera. */
  video_type?: string;
  /** Columns of the sensor, not of the picture.  Unit: sensor pixels. */
  sensor_width?: number;
  /** Rows of the sensor, not of the picture.  Unit: sensor pixels. */
  sensor_height?: number;
  /** Lowest temperature in the picture; `null` where the device sent no number.  Unit: °C. */
  temp_min?: number | null;
  /** Highest temperature in the picture; `null` where the device sent no number.  Unit: °C. */
  temp_max?: number | null;
  /** The temperature of every sensor pixel, row by row; `null` where the device sent no number; left out for a large sensor.  Unit: °C. */
  temps?: Array<number | null>;
}

/** The gateway lost its upstream.  For information: the gateway tries again, and the viewer stays. */
export interface GatewayReconnecting {
  type: "gateway_reconnecting";
  /** Which attempt this is, the first being 1. */
  attempt: number;
  /** After how many it gives up. */
  max_attempts: number;
  /** How long it waits before this attempt.  Unit: seconds. */
  delay_s: number;
}

/** Every message of a gateway; `type` tells which it is. */
export type Message = Init | VideoFrame | GatewayReconnecting;
// end
