/** What the page says about its stream, one or two plain sentences each; the gateway's core words the close codes. */
import { CLOSES } from "./protocol.js";
import { NO_ANSWER, UNREACHABLE } from "./stream.js";

const OURS = {
  [NO_ANSWER]: "The gateway did not answer the key in time.",
  [UNREACHABLE]: "The gateway can’t be reached.",
};

const ADVICE = {
  4001: "Check the key, or enter another.",
  4002: "Use a key whose plan includes API access.",
};

/** Their sentences say it all; the reason would only say it twice. */
const CLEAR = [1000, 1001, 4001, 4002, 4008];

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

/** Return the sentence for a close code, or for one of the two ways in which there is none. */
export function describeClose(code) {
  return OURS[code] ?? CLOSES[code]?.sentence ?? CLOSES.other.sentence.replace("{code}", code);
}

export const connecting = (source) => `Connecting to ${source} …`;

export const live = (source, cameras) => `Watching ${plural(cameras, "camera")} of ${source}.`;

export function upstream({ attempt, max_attempts: most, delay_s: pause }) {
  const which = Number.isFinite(attempt) && Number.isFinite(most) ? ` (attempt ${attempt} of ${most})` : "";
  const when = Number.isFinite(pause) && pause > 0 ? ` in ${plural(pause, "second")}` : "";
  return `The gateway has lost its own source and tries again${when}${which}. Stay, the stream may go on.`;
}

export function waiting({ code, reason, pause_s: pause }) {
  const next = pause < 0.5 ? "Reconnecting." : `Trying again in ${plural(Math.round(pause), "second")}.`;
  return `${withReason(code, reason)} ${next}`;
}

/** What stays to be read when the next stream stands already: after a timeout that is at once. */
export function lastEnd({ code, reason }, count, at) {
  return `The stream has ended ${count === 1 ? "once" : `${count} times`}, last at ${at.toLocaleTimeString()}: ${withReason(code, reason)}`;
}

export const ended = ({ code, reason }) => withReason(code, reason);

/** What to do about a key that is of no use. */
export const adviceFor = (code) => ADVICE[code] ?? "Try another key.";

/** The code helps whoever asks for help; what is not known names its code anyway. */
function withReason(code, reason) {
  const number = Number.isInteger(code) && code in CLOSES ? ` [${code}]` : "";
  const said = reason && !CLEAR.includes(code) ? ` It said: “${reason}”.` : "";
  return `${describeClose(code)}${number}${said}`;
}
