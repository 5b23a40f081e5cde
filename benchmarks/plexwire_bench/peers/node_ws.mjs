// node_ws.mjs PORT: the `ws` package on Node.  Run `npm install` in benchmarks/ once.
import { WebSocketServer } from 'ws';

const API_KEY = 'plx_bench';
const AUTH_MS = 10_000;
const MAX_WAITING = 2;
const VIEWER_PATH = /^\/v1\/sources\/([^/]+)\/video\/stream$/;

const viewers = new Map();  // source id -> Map of socket -> Set of cameras
const online = new Map();   // source id -> Set of cameras

const entry = (map, key, make) => map.get(key) ?? map.set(key, make()).get(key);

function handOut(sourceId, data) {
  const cameraAt = 2 + data[1];
  const tail = cameraAt + 1 + data[cameraAt];
  const camera = data.toString('utf8', cameraAt + 1, tail);
  entry(online, sourceId, () => new Set()).add(camera);
  const watching = viewers.get(sourceId);
  if (!watching?.size) return;
  const text = Buffer.from(
    `{"type":"video_frame","source_id":${JSON.stringify(sourceId)},"camera_id":${JSON.stringify(camera)},` +
    `"frame":"${data.toString('base64', tail + 16)}","width":${data.readUInt32BE(tail)},` +
    `"height":${data.readUInt32BE(tail + 4)},"timestamp":${data.readBigInt64BE(tail + 8)}}`);
  const most = (MAX_WAITING - 1) * text.length;
  for (const [socket, cameras] of watching)
    if (cameras.has(camera) && socket.bufferedAmount <= most) socket.send(text, { binary: false });
}

function readAuth(data, type) {
  try {
    const auth = JSON.parse(data);
    return auth.type === type && auth.api_key === API_KEY ? auth : null;
  } catch {
    return null;
  }
}

const server = new WebSocketServer({
  host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false, maxPayload: 1 << 20,
});

server.on('connection', (socket, request) => {
  const url = new URL(request.url, 'http://127.0.0.1');
  const stream = VIEWER_PATH.exec(url.pathname);
  const patience = setTimeout(() => socket.close(4001), AUTH_MS);
  let sourceId = null;
  socket.on('error', () => {});
  socket.on('close', () => {
    clearTimeout(patience);
    if (stream) viewers.get(sourceId)?.delete(socket);
  });
  socket.on('message', (data, binary) => {
    if (sourceId !== null) {
      if (binary && !stream) handOut(sourceId, data);
      return;
    }
    const auth = readAuth(data, stream ? 'auth' : 'device_auth');
    if (!auth) { socket.close(4001); return; }
    clearTimeout(patience);
    if (!stream) {
      sourceId = auth.source_id;
      socket.send(JSON.stringify({ type: 'authenticated', source_id: sourceId, server_time_ms: Date.now() }));
      return;
    }
    sourceId = decodeURIComponent(stream[1]);
    const asked = url.searchParams.getAll('camera_id');
    const cameras = new Set(asked.length ? asked : ['default']);
    const here = [...(online.get(sourceId) ?? [])].filter((camera) => cameras.has(camera));
    const sources = here.length ? [{ source_id: sourceId, cameras: here }] : [];
    socket.send(JSON.stringify({ type: 'init', online_sources: sources }));
    entry(viewers, sourceId, () => new Map()).set(socket, cameras);
  });
});
