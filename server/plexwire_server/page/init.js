/** What an `init` lists: read as the protocol has it, and as far as it can be understood if a gateway writes it differently. */

/** Return the `sources` of an `init`, as {source_id, cameras}, and each deviation as {clause, path, problem}. */
export function readInit(init) {
  const deviations = [];
  const deviates = (path, problem) => deviations.push({ clause: "PW-INIT-4", path, problem });
  const listOf = (value, path) => {
    if (Array.isArray(value)) return value;
    deviates(path, value === undefined ? "is missing" : "is not a list");
    return [];
  };
  const cameraOf = (value, path) => {
    if (typeof value === "string") return value;
    deviates(path, "is not a string");
    return typeof value?.camera_id === "string" ? value.camera_id : null;
  };
  const sourceOf = (value, path) => {
    if (typeof value?.source_id !== "string") {
      deviates(path, "is not an object with a source_id");
      return [];
    }
    const listed = listOf(value.cameras, `${path}.cameras`);
    const cameras = listed.map((camera, index) => cameraOf(camera, `${path}.cameras[${index}]`));
    return [{ source_id: value.source_id, cameras: cameras.filter((camera) => camera !== null) }];
  };
  const listed = listOf(init.online_sources, "online_sources");
  const sources = listed.flatMap((source, index) => sourceOf(source, `online_sources[${index}]`));
  return { sources, deviations };
}
