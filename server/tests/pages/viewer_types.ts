/** Compiles only if the module's types say what they should. */
import { jpegOf, watch, type Message } from "../../plexwire_server/page/viewer.js";

const stream = watch({
  url: "wss://gateway.example",
  source: "robot-01",
  key: "plx_x",
  cameras: ["front"],
  onFrame(bitmap, message) {
    const sizes: number[] = [bitmap.width, bitmap.height, message.timestamp];
    return Promise.resolve(void sizes);
  },
  onEnd({ code, retry_s }) {
    if (code === "no-answer" || code === "unreachable") return;
    const numbers: [number, number | null] = [code, retry_s];
    void numbers;
  },
  onMessage(message: Message) {
    switch (message.type) {
      case "init":
        return void message.online_sources[0]?.cameras.includes("front");
      case "video_frame":
        return void jpegOf(message).length;
      case "gateway_reconnecting":
        return void (message.delay_s + message.attempt);
      default: {
        const never: never = message;
        return never;
      }
    }
  },
});
stream.close();

// @ts-expect-error: the key is missing
watch({ url: "wss://gateway.example", source: "robot-01" });
// @ts-expect-error: a frame has no such member
watch({ url: "", source: "", key: "", onFrame: (_, message) => void message.camera });
