// Requests to the server, and its events. Masks travel as pairs of (id, length).

export const page = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16)).join("");

export class RequestError extends Error {
  constructor(message, hint, status) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "X-Page": page, ...options.headers } });
  } catch {
    throw new RequestError("The server does not answer.", "Is pcvos annotate still running in the terminal?", 0);
  }
  if (!response.ok) {
    const text = await response.text();
    let told = { error: text };
    try { told = JSON.parse(text); } catch { /* plain words */ }
    throw new RequestError(told.error, told.hint, response.status);
  }
  return response;
}

export const getState = async () => (await request("/api/state")).json();
export const getPicture = async (frame) => createImageBitmap(await (await request(`/api/frames/${frame}/picture`)).blob());
export const getMask = async (frame, size) => decodeRuns(await (await request(`/api/frames/${frame}/mask`)).arrayBuffer(), size);
export const putMask = (frame, labels, reference) =>
  request(`/api/frames/${frame}/mask?reference=${reference ? 1 : 0}`, { method: "PUT", body: encodeRuns(labels) });
export const prompt = async (frame, asked, size) =>
  decodeRuns(await (await request(`/api/frames/${frame}/prompt`, { method: "POST", body: JSON.stringify(asked) })).arrayBuffer(), size);
export const act = async (action, asked = {}) =>
  (await (await request(`/api/do/${action}`, { method: "POST", body: JSON.stringify(asked) })).json()).result;
export const claim = () => request("/api/edit", { method: "POST", body: "{}" });

export function listen(on, onLost) {
  const source = new EventSource(`/api/events?page=${page}`);
  source.onmessage = (message) => {
    const event = JSON.parse(message.data);
    on[event.kind]?.(event);
  };
  source.onerror = () => onLost();
  source.onopen = () => on.open?.();
}

export function encodeRuns(labels) {
  const runs = [];
  for (let start = 0, i = 1; i <= labels.length; i++) {
    if (i === labels.length || labels[i] !== labels[start]) {
      runs.push(labels[start], i - start);
      start = i;
    }
  }
  return Uint32Array.from(runs);
}

export function decodeRuns(content, size) {
  const runs = new Uint32Array(content);
  const labels = new Uint8Array(size);
  for (let at = 0, i = 0; i < runs.length; i += 2) {
    labels.fill(runs[i], at, at + runs[i + 1]);
    at += runs[i + 1];
  }
  return labels;
}
