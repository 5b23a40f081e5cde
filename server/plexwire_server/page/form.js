/** The form: what to watch and with which key.  Its fields have no names, so nothing of it can end in a URL. */
import { problemOf } from "./address.js";
import { CameraField } from "./cameras.js";
import { LIMITS } from "./viewer.js";

const FIELDS = ["source", "camera", "timeout", "key"];
const byId = (id) => document.getElementById(id);

export class Form {
  #cameras = new CameraField(byId("camera"), byId("chosen"));

  /** `onSubmit(address, key, place)` gets what is well-formed; `onForget()` when the key is to be forgotten. */
  constructor({ onSubmit, onForget }) {
    byId("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const address = this.readAddress();
      const key = byId("key").value.trim();
      const problem = problemOf(address) ?? (key ? null : { field: "key", sentence: "The key is missing." });
      this.complain(problem);
      if (problem === null) onSubmit(address, key, byId("keep").value);
    });
    byId("forget").addEventListener("click", () => {
      byId("key").value = "";
      byId("keep").value = "";
      byId("key").focus();
      onForget();
    });
  }

  /** Return the address that the form names; without a camera it means the one that the protocol means then. */
  readAddress() {
    const cameras = this.#cameras.read();
    return {
      source: byId("source").value.trim(),
      cameras: cameras.length > 0 ? cameras : [LIMITS.default_camera],
      timeout: byId("timeout").value.trim(),
    };
  }

  fill({ source, cameras, timeout }) {
    byId("source").value = source;
    byId("timeout").value = timeout;
    this.#cameras.set(cameras);
  }

  fillKey({ key, place }) {
    byId("key").value = key;
    byId("keep").value = place;
  }

  /** Offer to forget the key, if one is kept. */
  offerToForget(kept) {
    byId("forget").hidden = !kept;
  }

  /** Say at its field what is wrong and go there; null takes it back. */
  complain(problem) {
    for (const field of FIELDS) {
      const wrong = problem?.field === field;
      byId(field).setAttribute("aria-invalid", String(wrong));
      byId(`${field}-problem`).textContent = wrong ? problem.sentence : "";
    }
    if (problem === null) return;
    byId("settings").open = true;
    byId(problem.field).focus();
  }

  /** Go to the first field that is still empty. */
  focus() {
    const empty = ["source", "key"].map(byId).find((field) => field.value === "");
    (empty ?? byId("connect")).focus({ preventScroll: true });
  }
}
