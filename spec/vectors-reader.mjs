// Runs the text and binary test vectors against a small decoder in plain JavaScript: node vectors-reader.mjs
// It shows that the vectors belong to no language, and how little a decoder is.
import { isDeepStrictEqual } from "node:util";
import { readFileSync } from "node:fs";

class Refused extends Error {}
const refuse = (reason) => { throw new Refused(reason); };
const must = (holds, reason, value) => (holds ? value : refuse(reason));

// ── what a member may hold ───────────────────────────────────────────────────────────────────
const text = (v) => must(typeof v === "string", "wrong_type") ?? must(v.isWellFormed(), "not_unicode", v);
const whole = (low, high) => (v) => must(Number.isInteger(v), "wrong_type") ?? must(low <= v && v <= high, "out_of_range", v + 0);
const seconds = (v) => must(typeof v === "number", "wrong_type") ?? must(v >= 0, "out_of_range", v);
const cameraId = (v) => must(Buffer.byteLength(text(v)) <= 255, "id_too_long", v);
const sourceId = (v) => must(/^[a-z0-9][a-z0-9._-]{0,255}$/.test(text(v)), "bad_source_id", v);
const list = (of) => (v) => must(Array.isArray(v), "wrong_type", v).map((one) => of(one));
const source = (v) => members(must(v?.constructor === Object, "wrong_type", v), { source_id: text, cameras: list(text) });
const jpeg = (bytes) => must(bytes[0] === 0xff && bytes[1] === 0xd8, "not_jpeg", bytes.toString("base64"));
const BASE64 = /^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const frame = (v) => jpeg(Buffer.from(must(BASE64.test(text(v)), "not_base64", v), "base64"));
const words = (v) => text(v ?? "");
const code = (v) => text(Number.isInteger(v) ? String(v) : v);
const [count, pixels, ms] = [whole(0, 2 ** 31 - 1), whole(0, 2 ** 32 - 1), whole(-(2 ** 63), 2 ** 63 - 1024)];

// ── the messages, by sender; a member with `?` may be missing ────────────────────────────────
const picture = { camera_id: cameraId, frame, width: pixels, height: pixels, timestamp: ms };
const auths = { auth: { api_key: text }, device_auth: { api_key: text, source_id: sourceId } };
const MESSAGES = {
  viewer: { auth: auths.auth },
  device: { device_auth: auths.device_auth, video_frame: { "source_id?": text, ...picture }, heartbeat: { "source_id?": text, "agent_version?": text } },
  gateway: { init: { online_sources: list(source) }, video_frame: { source_id: text, ...picture }, gateway_reconnecting: { attempt: count, max_attempts: count, delay_s: seconds },
    authenticated: { source_id: text, server_time_ms: ms }, error: { code, "detail?": words, "message?": words } },
};
const members = (value, of) => Object.fromEntries(Object.keys(of).map((key) => {
  const name = key.replace("?", "");
  return [name, of[key](name in value ? value[name] : must(name !== key, "missing_member", ""))];
}));
const depth = (v) => (v !== null && typeof v === "object" ? 1 + Object.values(v).reduce((d, one) => Math.max(d, depth(one)), 0) : 0);

const finite = (_, v) => (typeof v === "number" && !Number.isFinite(v) ? null : v);  // 1e400 is null

function decodeText(input, sender) {
  must(sender === "gateway" || Buffer.byteLength(input) <= 1048576, "too_large");
  const json = sender !== "device" ? input : input.replace(/"(\\.|[^"\\])*"|-?Infinity|NaN/g, (m) => (m[0] === '"' ? m : "null"));
  let value;
  try { value = JSON.parse(json, finite); } catch { refuse("not_json"); }
  must(value?.constructor === Object, "not_an_object");
  must(depth(value) <= 64, "not_json");
  const known = MESSAGES[sender][must(typeof value.type === "string", "no_type", value.type)];
  if (known === undefined) return { ignored: value.type };
  const read = { ...value, ...members(value, known) };
  return { accepted: value.type === "error" ? { ...read, detail: read.detail || read.message } : read };
}

function decodeBinary(data, sender) {
  must(data.length <= 1048576, "too_large") ?? must(sender === "device", "binary");
  let at = 0;
  const take = (n) => must(at + n <= data.length, "truncated", data.subarray(at, (at += n)));
  const id = (raw) => {  // a full field may have been cut inside its last character: `stream` leaves that out
    try { return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw, { stream: raw.length === 255 }); } catch { refuse("not_unicode"); }
  };
  must(take(1)[0] === 1, "unknown_version");
  const [source_id, camera_id, sizes] = [id(take(take(1)[0])), id(take(take(1)[0])), take(16)];
  const [width, height, timestamp] = [sizes.readUInt32BE(0), sizes.readUInt32BE(4), Number(sizes.readBigInt64BE(8))];
  return { accepted: { type: "video_frame", source_id, camera_id, frame: jpeg(data.subarray(at)), width, height, timestamp } };
}

// ── the vectors ──────────────────────────────────────────────────────────────────────────────
const written = (part) => (typeof part === "string" ? part : part.repeat.repeat(part.times));
const expand = (_, v) => (Array.isArray(v) && v.some((part) => Number.isInteger(part?.times)) ? v.map(written).join("") : v);
const read = (name) => JSON.parse(readFileSync(new URL(`plexwire_spec/vectors/${name}.json`, import.meta.url), "utf8"), expand).vectors;
function outcome({ kind, sender, input }) {
  try { return kind === "text" ? decodeText(input, sender) : decodeBinary(Buffer.from(input, "hex"), sender); }
  catch (error) { if (error instanceof Refused) return { refused: error.message }; throw error; }
}
const agrees = (due, got) => (due.accepted && got.accepted ? Object.keys(due.accepted).every((name) => isDeepStrictEqual(due.accepted[name], got.accepted[name])) : isDeepStrictEqual(due, got));

const vectors = ["text-from-viewer", "text-from-gateway", "text-from-device", "frames-from-device", "pictures-from-device", "binary"].flatMap(read);
const usable = vectors.filter((vector) => vector.needs === undefined);  // JSON.parse knows no int64
const wrong = usable.filter((vector) => !agrees(vector.outcome, outcome(vector)));
for (const vector of wrong) console.log(vector.id, "has", outcome(vector), "and should have", vector.outcome);
console.log(`${usable.length - wrong.length} passed, ${wrong.length} failed, ${vectors.length - usable.length} skipped`);
process.exitCode = wrong.length > 0 ? 1 : 0;
