/** From base64 to bytes to pixels, as fast as the browser can. */

/** Return the bytes of `text`.  Throws when it is no base64. */
export function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Return the picture as an `ImageBitmap`, which is the caller's to close.  Rejects what is no picture. */
export async function decode(text) {
  return createImageBitmap(new Blob([bytesOf(text)], { type: "image/jpeg" }));
}
