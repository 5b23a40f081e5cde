/** The page: the form, one stream, a tile a camera, and what is said about it. */
import { readFragment, writeFragment } from "./address.js";
import { Clock } from "./clock.js";
import { Form } from "./form.js";
import { forget, keep, recall } from "./keyring.js";
import { showOnline, toggled } from "./online.js";
import { Painter } from "./painter.js";
import * as say from "./sentences.js";
import { Tile } from "./tile.js";
import { watch } from "./viewer.js";

const NUMBERS_EVERY_MS = 500;
const CLOCK_EVERY_MS = 30_000;
/** A stream that was silent so long, while the gateway can't be reached otherwise, is lost, whatever TCP believes. */
const SILENT_S = 20;

const byId = (id) => document.getElementById(id);
const painter = new Painter();
const clock = new Clock();
const tiles = new Map();

let stream = null;
let live = false;
let away = false;
let watched = null;
let unreadable = 0;
let ends = 0;

const form = new Form({
  onSubmit: connect,
  onForget() {
    forget();
    if (watched) watched.place = "";
    form.offerToForget(false);
  },
});

/** Watch `address` with `key`, in the place of what was watched before; `place` is where to keep a key that is good. */
function connect(address, key, place) {
  stream?.close();
  live = false;
  unreadable = ends = 0;
  byId("last-end").textContent = "";
  // No picture may stand under the name of a source that it is not of, nor be shown to another key.
  if (watched?.address.source !== address.source || watched.key !== key) arrangeTiles([]);
  watched = { address, key, place, begun: false };
  history.replaceState(null, "", writeFragment(address));
  document.title = `${address.source} – plexwire`;
  form.fill(address);
  arrangeTiles(address.cameras);
  const connecting = () => tell("busy", say.connecting(address.source));
  stream = watch({
    url: ".",
    ...address,
    key,
    wanted: ({ camera_id: camera }) => !tiles.get(camera)?.paused,
    onConnecting: connecting,
    onInit: begin,
    onMessage({ type, ...message }) {
      if (type === "gateway_reconnecting") {
        away = true;
        tell("busy", say.upstream(message));
      } else if (away && type === "video_frame") {
        tellLive();
      }
    },
    onFrame: (bitmap, message) => tiles.get(message.camera_id)?.draw(bitmap, message),
    onSkip: ({ camera_id: camera }) => tiles.get(camera)?.skipped(),
    onBroken: ({ camera_id: camera }) => tiles.get(camera)?.broken(),
    onUnreadable: () => (unreadable += 1),
    onDeviation: ({ clause, path, problem }) => console.info(`plexwire: the gateway deviates from ${clause}: ${path} ${problem}`),
    onEnd(end) {
      live = false;
      log(end);
      if (end.retry_s === null) {
        giveUp(end);
        return;
      }
      ends += 1;
      byId("last-end").textContent = say.lastEnd(end, ends, new Date());
      tell("busy", say.waiting(end));
    },
  });
  // The first time, there was no stream yet to disconnect from.
  connecting();
}

function begin(onlineSources) {
  live = true;
  const { address, key, place } = watched;
  // Once: a stream that begins anew, in a tab that nobody looks at perhaps, must not undo what was kept or forgotten since.
  if (!watched.begun && !keep(key, place)) watched.place = "";
  form.offerToForget(watched.place !== "");
  tellLive();
  const count = showOnline(byId("online-list"), onlineSources, address, (source, camera) =>
    connect(toggled(address, source, camera), key, watched.place),
  );
  byId("online").hidden = false;
  byId("nobody").hidden = count > 0;
  // Whoever has opened the form again is left alone in it, however often the stream begins anew.
  if (!watched.begun) closeForm();
  watched.begun = true;
}

function closeForm() {
  const settings = byId("settings");
  const wasInside = settings.contains(document.activeElement);
  settings.open = false;
  if (wasInside) byId("disconnect").focus({ preventScroll: true });
}

function tellLive() {
  // The gateway says when its own source is away, and by a picture that it is back.
  away = false;
  tell("good", say.live(watched.address.source, watched.address.cameras.length));
}

/** The key is of no use: nothing is shown any more, and the form is there again. */
function giveUp(end) {
  clear();
  tell("bad", say.ended(end));
  form.complain({ field: "key", sentence: say.adviceFor(end.code) });
}

/** The reason is for whoever looks into it. */
function log({ code, reason }) {
  console.info(`plexwire: the stream ended: ${code} ${reason}`);
}

function disconnect() {
  clear();
  tell("idle", "Not connected.");
  form.focus();
}

function clear() {
  stream?.close();
  stream = null;
  live = false;
  watched = null;
  document.title = "plexwire";
  arrangeTiles([]);
  byId("online").hidden = true;
  byId("settings").open = true;
}

/** One tile a camera, in their order; those that stay keep their picture. */
function arrangeTiles(cameras) {
  for (const [camera, tile] of tiles) {
    if (!cameras.includes(camera)) {
      tile.close();
      tiles.delete(camera);
    }
  }
  const grid = byId("grid");
  cameras.forEach((camera, index) => {
    if (!tiles.has(camera)) tiles.set(camera, new Tile(camera, painter, clock));
    const { element } = tiles.get(camera);
    if (grid.children[index] !== element) grid.insertBefore(element, grid.children[index] ?? null);
  });
  grid.dataset.count = String(cameras.length);
  byId("empty").hidden = cameras.length > 0;
}

function tell(tone, sentence) {
  const status = byId("status");
  status.dataset.tone = tone;
  if (status.textContent !== sentence) status.textContent = sentence;
  byId("disconnect").hidden = stream === null;
  byId("retry").hidden = !(stream?.isWaiting ?? false);
}

async function measureClock() {
  try {
    await clock.measure();
    if (clock.error < Infinity) byId("clock").textContent = clockSentence();
  } catch {
    if (live && stream.silent_s > SILENT_S) stream.lost();
  }
}

function clockSentence() {
  const off = Math.round(Math.abs(clock.offset));
  const side = clock.offset > 0 ? "behind" : "ahead of";
  const compared = off === 0 ? "agrees with" : `is ${off} ms ${side}`;
  return `This browser’s clock ${compared} the gateway’s (± ${Math.ceil(clock.error)} ms); latency allows for it.`;
}

setInterval(() => {
  for (const tile of tiles.values()) tile.tick(live);
  byId("unreadable").textContent = unreadable > 0 ? `Messages passed over, as they could not be read: ${unreadable}.` : "";
}, NUMBERS_EVERY_MS);
setInterval(measureClock, CLOCK_EVERY_MS);

byId("disconnect").addEventListener("click", disconnect);
byId("retry").addEventListener("click", () => stream?.retry());
byId("look-again").addEventListener("click", () => connect(watched.address, watched.key, watched.place));
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) measureClock();
});
// A link that is pasted over this page's own.
window.addEventListener("hashchange", () => {
  const address = readFragment(location.hash);
  form.fill(address);
  if (watched) byId("form").requestSubmit();
});

const kept = recall();
form.fill(readFragment(location.hash));
form.fillKey(kept);
form.offerToForget(kept.key !== "");
form.focus();
measureClock();
// A key that is kept and a link that says what to watch: a reload, or a screen on a wall.
if (kept.key && readFragment(location.hash).source) byId("form").requestSubmit();
