/**
 * What to watch: a source, its cameras, for how long; from and to the fragment of the page.
 *
 * The fragment can be shared and never leaves the browser; the key is no part of it.
 */
import { LIMITS } from "./viewer.js";

const SOURCE_ID = new RegExp(`^(?:${LIMITS.source_id})$`);
const WHOLE = /^[0-9]{1,10}$/;

const bytesOf = (text) => new TextEncoder().encode(text).length;

/** Read `#source=robot-01&camera=front&camera=rear&timeout=60`; whatever else stands there is passed over. */
export function readFragment(hash) {
  const values = new URLSearchParams(hash.replace(/^#/, ""));
  return {
    source: values.get("source") ?? "",
    cameras: [...new Set(values.getAll("camera"))],
    timeout: values.get("timeout") ?? "",
  };
}

/** Return the fragment that `readFragment` reads, with its `#`. */
export function writeFragment({ source, cameras, timeout }) {
  const values = new URLSearchParams({ source });
  for (const camera of cameras) values.append("camera", camera);
  if (timeout) values.append("timeout", timeout);
  return `#${values}`;
}

/** Return what is wrong with an address as {field, sentence}, or null: the handshake could only say "no". */
export function problemOf({ source, cameras, timeout }) {
  if (!source) return { field: "source", sentence: "Which source do you want to watch?" };
  if (!SOURCE_ID.test(source)) {
    const sentence = "A source is named with a–z, 0–9, dot, underscore and hyphen, and begins with a letter or digit.";
    return { field: "source", sentence };
  }
  if (cameras.length > LIMITS.cameras) {
    return { field: "camera", sentence: `One stream carries ${LIMITS.cameras} cameras at most.` };
  }
  const long = cameras.find((camera) => bytesOf(camera) > LIMITS.id_bytes);
  if (long !== undefined) {
    return { field: "camera", sentence: `The camera's name ${long.slice(0, 20)}… is too long.` };
  }
  const seconds = Number(timeout);
  if (timeout && !(WHOLE.test(timeout) && seconds >= 1 && seconds <= LIMITS.timeout_s)) {
    return { field: "timeout", sentence: "The time limit is a whole number of seconds, or empty." };
  }
  return null;
}
