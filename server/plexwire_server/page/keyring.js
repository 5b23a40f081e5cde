/** The key, kept only where the person asked for it: nowhere, in this tab, or in this browser. */

const NAME = "plexwire.key";
const PLACES = { tab: () => sessionStorage, browser: () => localStorage };

/** Return the kept key and its place; both are empty when there is none. */
export function recall() {
  for (const [place, storage] of Object.entries(PLACES)) {
    const key = attempt(() => storage().getItem(NAME));
    if (key) return { key, place };
  }
  return { key: "", place: "" };
}

/** Keep the key in `place` and nowhere else; return whether the browser let us. */
export function keep(key, place) {
  forget();
  if (!(place in PLACES)) return true;
  return attempt(() => PLACES[place]().setItem(NAME, key)) !== null;
}

/** Forget the key everywhere. */
export function forget() {
  for (const storage of Object.values(PLACES)) attempt(() => storage().removeItem(NAME));
}

/** A browser may refuse storage altogether; the page works without. */
function attempt(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
