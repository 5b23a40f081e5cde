/** The field of cameras: what is typed becomes a chip at a comma, and each chip can be taken away again. */

export class CameraField {
  #input;
  #list;
  #cameras = [];

  constructor(input, list) {
    this.#input = input;
    this.#list = list;
    input.addEventListener("input", () => {
      if (input.value.includes(",")) this.#split();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Backspace" && input.value === "" && this.#cameras.length > 0) {
        this.set(this.#cameras.slice(0, -1));
      }
    });
  }

  /** Return the cameras, what is still being typed included. */
  read() {
    this.#split();
    return [...this.#cameras];
  }

  set(cameras) {
    this.#cameras = [...new Set(cameras)];
    this.#list.replaceChildren(...this.#cameras.map((camera) => this.#chip(camera)));
    this.#list.hidden = this.#cameras.length === 0;
    this.#input.placeholder = this.#cameras.length > 0 ? "add another" : "front, rear";
  }

  #split() {
    const typed = this.#input.value.split(",").map((part) => part.trim()).filter(Boolean);
    this.#input.value = "";
    if (typed.length > 0) this.set([...this.#cameras, ...typed]);
  }

  #chip(camera) {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = camera;
    const remove = document.createElement("button");
    remove.type = "button";
    remove.textContent = "×";
    remove.setAttribute("aria-label", `Remove camera ${camera}`);
    remove.addEventListener("click", () => {
      this.set(this.#cameras.filter((other) => other !== camera));
      this.#input.focus();
    });
    item.append(name, remove);
    return item;
  }
}
