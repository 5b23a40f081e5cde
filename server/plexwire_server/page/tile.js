/** One camera on the page: its picture, its numbers, its buttons. */
import { Feed } from "./feed.js";
import { Meter } from "./meter.js";
import { save } from "./snapshot.js";

/** After so long without a picture it is said that there is none. */
const STALE_MS = 4000;
const template = document.getElementById("tile");

export class Tile {
  #camera;
  #clock;
  #meter = new Meter();
  #feed;
  #since = performance.now();
  #shownAt = null;
  #lastBroken = false;
  #paused = false;
  #part;

  constructor(camera, painter, clock) {
    this.#camera = camera;
    this.#clock = clock;
    this.element = template.content.firstElementChild.cloneNode(true);
    this.element.setAttribute("aria-label", `Camera ${camera}`);
    this.#part = (name) => this.element.querySelector(`[data-part="${name}"]`);
    this.#part("name").textContent = camera;
    const canvas = this.#part("canvas");
    canvas.setAttribute("aria-label", `Live picture of camera ${camera}`);
    canvas.dataset.camera = camera;
    this.#feed = new Feed(canvas, painter, {
      painted: (message) => this.#painted(message),
      skipped: () => this.skipped(),
    });
    this.#bind("snapshot", () => this.#feed.shown && save(this.#feed.shown));
    this.#bind("pause", () => this.#togglePause());
    this.#bind("fullscreen", () => this.#toggleFullScreen());
    this.element.addEventListener("fullscreenchange", () => this.#markFullScreen());
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.element.classList.contains("fills")) this.#toggleFullScreen();
    });
    this.tick(false);
  }

  /** Whether the picture that is shown is held. */
  get paused() {
    return this.#paused;
  }

  draw(bitmap, message) {
    // One that was being decoded when the person paused.
    if (!this.#paused) this.#feed.draw(bitmap, message);
  }

  skipped() {
    this.#meter.skipped += 1;
  }

  broken() {
    this.#meter.broken += 1;
    this.#lastBroken = true;
  }

  close() {
    this.#feed.close();
    this.element.remove();
  }

  /** Write the numbers anew; `live` says whether the stream stands. */
  tick(live) {
    const now = performance.now();
    const { fps, latency } = this.#meter.read(now);
    const canvas = this.#part("canvas");
    this.#write("fps", fps === null ? "–" : fps.toFixed(fps < 9.95 ? 1 : 0));
    this.#write("size", this.#feed.shown ? `${canvas.width} × ${canvas.height}` : "–");
    this.#write("latency", latency === null ? "–" : duration(latency));
    this.#write("skipped", String(this.#meter.skipped));
    const silent = now - (this.#shownAt ?? this.#since);
    const fresh = live && this.#shownAt !== null && silent < STALE_MS;
    this.element.dataset.state = this.#state(fresh);
    this.#write("veil", this.#veil(live, silent));
    this.#write("broken", String(this.#meter.broken));
    this.#part("broken-box").hidden = this.#meter.broken === 0;
  }

  #state(fresh) {
    if (this.#paused) return "paused";
    if (this.#feed.shown === null) return "empty";
    return fresh ? "live" : "still";
  }

  #veil(live, silent) {
    if (this.#paused) return "Paused";
    if (this.#lastBroken) return "This picture can’t be decoded";
    if (this.#shownAt === null) return live ? "Waiting for the first picture …" : "No picture yet";
    if (!live) return "The last picture before the stream ended";
    return silent < STALE_MS ? "" : `No picture for ${Math.floor(silent / 1000)} s`;
  }

  #painted(message) {
    const latency = this.#clock.now() - message.timestamp;
    if (this.#shownAt === null) this.#part("snapshot").disabled = false;
    this.#shownAt = performance.now();
    this.#lastBroken = false;
    this.#meter.painted(this.#shownAt, latency);
    const canvas = this.#part("canvas");
    this.#part("stage").style.aspectRatio = `${canvas.width} / ${canvas.height}`;
    if (this.#part("veil").textContent) this.tick(true);
    // For whoever measures or tests the page from outside; nothing of it is kept.
    const { camera_id, timestamp } = message;
    const { skipped, broken } = this.#meter;
    const detail = { camera_id, timestamp, latency_ms: latency, skipped, broken };
    document.dispatchEvent(new CustomEvent("plexwire:painted", { detail }));
  }

  #togglePause() {
    this.#paused = !this.#paused;
    this.#part("pause").setAttribute("aria-pressed", String(this.#paused));
    // What was not shown meanwhile was not missing.
    this.#since = performance.now();
    if (this.#shownAt !== null) this.#shownAt = this.#since;
    this.tick(true);
  }

  #toggleFullScreen() {
    if (document.fullscreenElement === this.element) {
      document.exitFullscreen();
    } else if (this.element.requestFullscreen) {
      this.element.requestFullscreen().catch(() => this.#fill());
    } else {
      this.#fill();
    }
  }

  /** Where the browser gives no screen away, as on some phones, the window has to do. */
  #fill() {
    this.element.classList.toggle("fills");
    this.#markFullScreen();
  }

  #markFullScreen() {
    const full = document.fullscreenElement === this.element || this.element.classList.contains("fills");
    this.#part("fullscreen").setAttribute("aria-pressed", String(full));
  }

  #bind(name, action) {
    const button = this.#part(name);
    button.setAttribute("aria-label", `${button.title}, camera ${this.#camera}`);
    button.addEventListener("click", action);
  }

  /** Touch the page only where it changes. */
  #write(name, text) {
    const element = this.#part(name);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** Below zero the device's clock runs ahead of the gateway's; it is said as it is. */
function duration(ms) {
  const size = Math.abs(ms);
  if (size < 1000) return `${Math.round(ms)} ms`;
  return size < 100_000 ? `${(ms / 1000).toFixed(1)} s` : "clock?";
}
