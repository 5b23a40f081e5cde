/** What the page says about its stream, one or two plain sentences each; the viewer module words the close codes. */
import { CLOSES } from "./viewer.js";

const ADVICE = {
  4001: "Check the key, or enter another.",
  4002: "Use a key whose plan includes API access.",
};

/** Their sentences say it all; the reason would only say it twice. */
const CLEAR = [1000, 1001, 4001, 4002, 4008];

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export const connecting = (source) => `Connecting to ${source} …`;

export const live = (source, cameras) => `Watching ${plural(cameras, "camera")} of ${source}.`;

export function upstream({ attempt, max_attempts: most, delay_s: pause }) {
  const which = Number.isFinite(attempt) && Number.isFinite(most) ? ` (attempt ${attempt} of ${most})` : "";
  const when = Number.isFinite(pause) && pause > 0 ? ` in ${plural(pause, "second")}` : "";
  return `The gateway has lost its own source and tries again${when}${which}. Stay, the stream may go on.`;
}

export function waiting({ retry_s: pause, ...end }) {
  const next = pause < 0.5 ? "Reconnecting." : `Trying again in ${plural(Math.round(pause), "second")}.`;
  return `${withReason(end)} ${next}`;
}

/** What stays to be read when the next stream stands already: after a timeout that is at once. */
export function lastEnd(end, count, at) {
  return `The stream has ended ${count === 1 ? "once" : `${count} times`}, last at ${at.toLocaleTimeString()}: ${withReason(end)}`;
}

export const ended = (end) => withReason(end);

/** What to do about a key that is of no use. */
export const adviceFor = (code) => ADVICE[code] ?? "Try another key.";

/** The code helps whoever asks for help; what is not known names its code anyway. */
function withReason({ code, reason, sentence }) {
  const number = Number.isInteger(code) && code in CLOSES ? ` [${code}]` : "";
  const said = reason && !CLEAR.includes(code) ? ` It said: “${reason}”.` : "";
  return `${sentence}${number}${said}`;
}
