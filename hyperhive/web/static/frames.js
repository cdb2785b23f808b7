// Read server-sent events from a fetch. Unlike an EventSource this tells what the hive
// answered instead of a stream, and notices when even the pings stay away.

const SILENCE = 45000; // the hive pings every 15 s, in milliseconds
const LONGEST = 8 * 1024 * 1024; // characters of one frame

export class Refusal extends Error {
  constructor(status) {
    super(`The hive answered ${status} instead of a stream.`);
    this.status = status;
  }
}

// Ask for the events after number `since`. opened() is called once, then event({id, kind,
// data}) for each; ends, or fails, when the stream does.
export async function frames(url, since, signal, { opened, event }) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const response = await fetch(url, {
      headers: { accept: "text/event-stream", "last-event-id": String(since) },
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (!response.ok) throw new Refusal(response.status);
    opened();
    let rest = "";
    for await (const text of texts(response.body)) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      const parts = (rest + text).split("\n\n");
      rest = parts.pop();
      if (rest.length > LONGEST) throw new Error("The hive sent an event without an end.");
      for (const part of parts) {
        const frame = parsed(part);
        if (frame) event(frame);
      }
    }
  } finally {
    clearTimeout(timer);
    silence.abort();
  }
}

async function* texts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

// Our frames have one line of data; comments and what the browser is told are skipped.
function parsed(text) {
  const frame = {};
  for (const line of text.split("\n")) {
    const colon = line.indexOf(": ");
    if (colon > 0) frame[line.slice(0, colon)] = line.slice(colon + 2);
  }
  return frame.event ? { id: Number(frame.id), kind: frame.event, data: frame.data } : null;
}
