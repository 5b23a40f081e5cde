/** The picture that is shown, as a file: the JPEG as it came, to the byte. */
import { jpegOf } from "./viewer.js";

/** Return `front-20260102T030405678Z.jpg`: the camera, and when the device took it. */
export function nameOf({ camera_id: camera, timestamp }) {
  const safe = camera.replace(/[^\p{L}\p{N}._-]+/gu, "_").replace(/^[._]+/, "") || "camera";
  return `${safe}-${stampOf(timestamp)}.jpg`;
}

export function save(message) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([jpegOf(message)], { type: "image/jpeg" }));
  link.download = nameOf(message);
  link.click();
  // The download has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A device may stamp what no calendar knows; then the number itself has to do. */
function stampOf(timestamp) {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? String(timestamp) : date.toISOString().replace(/[-:.]/g, "");
}
