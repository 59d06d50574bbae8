/**
 * What the host and the agent in a guest say to each other, one message per frame.
 *
 *   host  → guest  hello exec stdin stdin-eof signal credit window stats power sync hostname reseed
 *   guest → host   hello started stdout stderr exit credit stats done trouble lost taken
 *
 * Both directions of a session are under credit: who reads grants bytes, who writes never sends
 * more than was granted. The host's first grant is in `exec`; the agent's is `stdinWindowBytes`.
 * The other end is resources/guest/agent.c; both give `protocolVersion` in their hello.
 * What must hold: decoding takes any payload; what breaks the form is `undefined`, never a throw.
 */
import type { Frame } from './frames.ts';
import { payloadBytesMax } from './frames.ts';

export const protocolVersion = 1;
/** What the agent buffers of a session's input (INPUT_ROOM in session.c). */
export const stdinWindowBytes = 32_768;
/** The largest piece of stdin in one frame: with all its bytes escaped it fits the line window. */
export const dataBytesMax = 800;
export const wordsMax = 1024;

export const powerActions = ['poweroff', 'reboot', 'halt'] as const;
export type PowerAction = (typeof powerActions)[number];

export interface WindowSize {
  rows: number;
  columns: number;
}

export interface ExecRequest {
  argv: readonly string[];
  /** Variables as NAME=value. */
  env: readonly string[];
  /** The directory to start in; '' is the root directory. */
  cwd: string;
  /** Gives the command a terminal of this size; its stderr then comes with its stdout. */
  tty?: WindowSize;
  creditBytes: number;
}

export type HostMessage =
  | { kind: 'hello'; nonce: number }
  | ({ kind: 'exec'; session: number } & ExecRequest)
  | { kind: 'stdin'; session: number; bytes: Uint8Array }
  | { kind: 'stdin-eof'; session: number }
  | { kind: 'signal'; session: number; signal: number }
  | { kind: 'credit'; session: number; bytes: number }
  /** Of a session's terminal, or (session 0) of a terminal of the machine, by its path. */
  | ({ kind: 'window'; session: number; path: string } & WindowSize)
  /** One sample now and one every interval; 0 ends it. */
  | { kind: 'stats'; intervalMs: number }
  | { kind: 'power'; token: number; action: PowerAction }
  | { kind: 'sync'; token: number }
  | { kind: 'hostname'; name: string }
  | { kind: 'reseed'; seed: Uint8Array };

export interface GuestHello {
  version: number;
  /** The machine's own init runs; before that, commands are refused. */
  booted: boolean;
  /** Not an answer: the agent has just started, what it was told before is forgotten. */
  started: boolean;
  nonce: number;
  /** What the agent has taken off the line since the first hello with this nonce. */
  takenBytes: number;
  release: string;
  machine: string;
  /** The name of process 1, for example `systemd`. */
  init: string;
  hostname: string;
}

export type Ending =
  | { kind: 'exited'; code: number }
  | { kind: 'signaled'; signal: number }
  /** `errno` as in Linux; `place` is `directory` when it was the cwd that failed. */
  | { kind: 'not-started'; errno: number; place: string };

export type GuestMessage =
  | ({ kind: 'hello' } & GuestHello)
  | { kind: 'started'; session: number; pid: number }
  | { kind: 'stdout' | 'stderr'; session: number; bytes: Uint8Array }
  | { kind: 'exit'; session: number; ending: Ending }
  | { kind: 'credit'; session: number; bytes: number }
  /** Sections of text by number; see stats.ts. */
  | { kind: 'stats'; sections: Map<number, string> }
  | { kind: 'done'; token: number; errno: number }
  /** Why the machine's boot failed: one sentence. */
  | { kind: 'trouble'; sentence: string }
  /** Frames from the host did not arrive: sessions cannot be trusted any more. */
  | { kind: 'lost' }
  /** Bytes taken off the line; see paced-line.ts. */
  | { kind: 'taken'; bytes: number };

const hostTypes = {
  hello: 1, exec: 2, stdin: 3, 'stdin-eof': 4, signal: 5, credit: 6, window: 7, stats: 8, power: 9,
  sync: 10, hostname: 11, reseed: 12,
} as const;

type FrameBody = Omit<Frame, 'sequence'>;

export function encodeHost(message: HostMessage): FrameBody {
  const type = hostTypes[message.kind];
  const session =
    'session' in message ? message.session : 'token' in message ? message.token : 0;
  return { type, session, payload: hostPayload(message) };
}

function hostPayload(message: HostMessage): Uint8Array {
  switch (message.kind) {
    case 'hello': return numbers([4, message.nonce]);
    case 'exec': return execPayload(message);
    case 'stdin': return message.bytes;
    case 'signal': return numbers([1, message.signal]);
    case 'credit': return numbers([4, message.bytes]);
    case 'window': {
      const size = numbers([2, message.rows], [2, message.columns]);
      return message.session === 0 ? joined(size, words([message.path])) : size;
    }
    case 'stats': return numbers([4, message.intervalMs]);
    case 'power': return numbers([1, powerActions.indexOf(message.action)]);
    case 'hostname': return new TextEncoder().encode(message.name);
    case 'reseed': return message.seed;
    case 'stdin-eof': case 'sync': return new Uint8Array(0);
  }
}

function execPayload(request: ExecRequest): Uint8Array {
  const { argv, env, tty } = request;
  const head = numbers(
    [1, tty ? 1 : 0], [2, tty?.rows ?? 0], [2, tty?.columns ?? 0], [4, request.creditBytes],
    [2, argv.length], [2, env.length],
  );
  return joined(head, words([request.cwd, ...argv, ...env]));
}

/** Whether the agent can take this command: counts, length, no NUL inside a word. */
export function execFits(request: ExecRequest): boolean {
  const { argv, env, cwd } = request;
  if (argv.length < 1 || argv.length > wordsMax || env.length > wordsMax) return false;
  if ([cwd, ...argv, ...env].some((word) => word.includes('\0'))) return false;
  return execPayload(request).length <= payloadBytesMax;
}

export function decodeGuest(frame: Frame): GuestMessage | undefined {
  const { type, session, payload } = frame;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const size = payload.length;
  switch (type) {
    case 65: return size < 12 ? undefined : decodeHello(view, payload);
    case 66: return size === 4 ? { kind: 'started', session, pid: u32(view) } : undefined;
    case 67: return { kind: 'stdout', session, bytes: payload };
    case 68: return { kind: 'stderr', session, bytes: payload };
    case 69: return decodeExit(session, view, payload);
    case 70: return size === 4 ? { kind: 'credit', session, bytes: u32(view) } : undefined;
    case 71: return decodeStats(view, payload);
    case 72: return size === 4 ? { kind: 'done', token: session, errno: u32(view) } : undefined;
    case 73: return { kind: 'trouble', sentence: plainText(payload).slice(0, 400) };
    case 74: return { kind: 'lost' };
    case 75: return size === 4 ? { kind: 'taken', bytes: u32(view) } : undefined;
    default: return undefined;
  }
}

function decodeHello(view: DataView, payload: Uint8Array): GuestMessage {
  const names = plainText(payload.subarray(12)).split('\0').map((name) => name.slice(0, 65));
  return {
    kind: 'hello',
    version: view.getUint16(0, true),
    booted: view.getUint8(2) === 1,
    started: view.getUint8(3) === 1,
    nonce: view.getUint32(4, true),
    takenBytes: view.getUint32(8, true),
    release: names[0] ?? '',
    machine: names[1] ?? '',
    init: names[2] ?? '',
    hostname: names[3] ?? '',
  };
}

function decodeExit(
  session: number,
  view: DataView,
  payload: Uint8Array,
): GuestMessage | undefined {
  if (payload.length < 5) return undefined;
  const value = view.getUint32(1, true);
  const place = plainText(payload.subarray(5)).slice(0, 64);
  switch (payload[0]) {
    case 0: return { kind: 'exit', session, ending: { kind: 'exited', code: value & 255 } };
    case 1: return { kind: 'exit', session, ending: { kind: 'signaled', signal: value & 127 } };
    case 2: {
      return { kind: 'exit', session, ending: { kind: 'not-started', errno: value, place } };
    }
    default: return undefined;
  }
}

function decodeStats(view: DataView, payload: Uint8Array): GuestMessage | undefined {
  const sections = new Map<number, string>();
  for (let at = 0; at < payload.length; ) {
    if (at + 3 > payload.length) return undefined;
    const end = at + 3 + view.getUint16(at + 1, true);
    if (end > payload.length) return undefined;
    sections.set(view.getUint8(at), plainText(payload.subarray(at + 3, end)));
    at = end;
  }
  return { kind: 'stats', sections };
}

function u32(view: DataView): number {
  return view.getUint32(0, true);
}

function plainText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Little-endian unsigned numbers of 1, 2 or 4 bytes. */
function numbers(...fields: [bytes: 1 | 2 | 4, value: number][]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(fields.reduce((sum, [bytes]) => sum + bytes, 0));
  const view = new DataView(out.buffer);
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 1) view.setUint8(at, value);
    else if (bytes === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += bytes;
  }
  return out;
}

/** Words that each end with NUL. */
function words(list: readonly string[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(list.map((word) => `${word}\0`).join(''));
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
