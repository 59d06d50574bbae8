/**
 * The door by which a running machine's process is asked for something: a unix stream socket in
 * its run directory, which only its owner can reach. One JSON object on a line is a request, `do`
 * names its verb; one line answers it: `{"ok":true, …}` or `{"ok":false,"code","sentence"}`.
 *
 *   const door = openControlDoor(path, new Map([['plug-disk', async (words) => ({ slot: 3 })]]));
 *   const { slot } = await askControl(path, { do: 'plug-disk', … });
 *
 * Must hold: requests are done one after another; what is not understood is refused and changes
 * nothing; neither side believes the other beyond a line of `lineBytesMax`.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { asRefusal, Refusal, refusalCodes, type RefusalCode } from '../../../base/refusal.ts';

export type Words = Readonly<Record<string, unknown>>;
/** `gone` is aborted when who asked has closed its connection. */
export type Verb = (words: Words, gone: AbortSignal) => Promise<Record<string, unknown> | void>;

const lineBytesMax = 1 << 16;
const connectionsMax = 8;
const requestsWaitingMax = 16;
const retryMs = 20;

export function controlPath(runDirectory: string): string {
  return `${runDirectory.replace(/\/+$/, '')}/control`;
}

export function openControlDoor(path: string, verbs: ReadonlyMap<string, Verb>): Server {
  let tail: Promise<unknown> = Promise.resolve();
  let waiting = 0;
  const server = createServer((socket) => {
    socket.on('error', () => {});
    const gone = new AbortController();
    socket.on('close', () => gone.abort());
    takeLines(socket, (line) => {
      if (++waiting > requestsWaitingMax) {
        waiting--;
        return void socket.destroy();
      }
      tail = tail
        .then(() => answer(verbs, line, gone.signal))
        .then((reply) => {
          waiting--;
          if (socket.writable) socket.write(`${JSON.stringify(reply)}\n`);
        });
    });
  });
  server.maxConnections = connectionsMax;
  server.on('error', (error) => process.stderr.write(`control: ${error.message}\n`));
  server.listen(path);
  // The door keeps no machine alive.
  return server.unref();
}

async function answer(
  verbs: ReadonlyMap<string, Verb>,
  line: string,
  gone: AbortSignal,
): Promise<object> {
  try {
    const words = objectOf(line);
    const verb = verbs.get(textOf(words, 'do'));
    if (!verb) throw new Refusal('unsupported', 'This machine does not know that request.');
    return { ok: true, ...(await verb(words, gone)) };
  } catch (thrown) {
    const { code, message } = asRefusal(thrown);
    return { ok: false, code, sentence: message };
  }
}

export type Request = { do: string; [word: string]: unknown };

/**
 * Asks and waits; a process that is only just starting is given the time to open its door.
 * @throws Refusal what the machine refuses; `timeout` or `unavailable` when it does not answer.
 */
export function askControl(path: string, request: Request, timeoutMs: number): Promise<Words> {
  return whileAsked(path, request, timeoutMs, (reply) => Promise.resolve(reply));
}

/** The same, for what lasts as long as the connection: it is open while `work` is at it. */
export async function whileAsked<T>(
  path: string,
  request: Request,
  timeoutMs: number,
  work: (reply: Words) => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.timeout(timeoutMs);
  const socket = await reach(path, signal);
  try {
    const reply = await new Promise<string>((resolve, reject) => {
      const late = () => reject(new Refusal('timeout', 'The machine’s process does not answer.'));
      signal.addEventListener('abort', late, { once: true });
      socket.once('close', () =>
        reject(new Refusal('unavailable', 'The machine’s process did not answer.')),
      );
      takeLines(socket, resolve);
      socket.write(`${JSON.stringify(request)}\n`);
    });
    return await work(told(objectOf(reply)));
  } finally {
    socket.destroy();
  }
}

function told(words: Words): Words {
  if (words['ok'] === true) return words;
  const code = refusalCodes.find((known) => known === words['code']) ?? ('internal' as RefusalCode);
  throw new Refusal(code, String(words['sentence']).slice(0, 500));
}

async function reach(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    socket.on('error', () => {});
    if (!error) return socket;
    socket.destroy();
    if (signal.aborted) {
      throw new Refusal('unavailable', 'The machine’s process takes no requests.');
    }
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

function takeLines(socket: Socket, take: (line: string) => void): void {
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (more) => {
    text += String(more);
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      take(text.slice(0, end));
      text = text.slice(end + 1);
    }
    if (text.length > lineBytesMax) socket.destroy();
  });
}

function objectOf(line: string): Words {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new Refusal('bad-input', 'A request is one JSON object on a line.');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Words;
  throw new Refusal('bad-input', 'A request is one JSON object on a line.');
}

/** A text of a request; refused when it is missing or longer than a path can be. */
export function textOf(words: Words, name: string): string {
  const value = words[name];
  if (typeof value === 'string' && value.length > 0 && value.length <= 4096) return value;
  throw new Refusal('usage', `A request says “${name}” as a text.`);
}

/** A whole number from 0 to below `limit`. */
export function numberOf(words: Words, name: string, limit: number): number {
  const value = words[name];
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < limit) {
    return value;
  }
  throw new Refusal('usage', `A request says “${name}” as a number below ${limit}.`);
}
