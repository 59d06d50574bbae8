/**
 * The server's half: one `Connection` for each client, in front of one `Api`. It parses what
 * arrives, checks parameters against the contract's table, keeps streams within their credit and
 * sends events. A client that breaks the protocol is told why once and cut off; nobody else
 * notices.
 */
import { assert } from '../base/assert.ts';
import { methods, type MethodName } from '../contract/methods.ts';
import type { EventName, Events } from '../contract/events.ts';
import { asRefusal, Refusal } from '../base/refusal.ts';
import {
  chunkBytesMax,
  clientMessage,
  creditBytes,
  packBytes,
  parseControl,
  unpackBytes,
  type Channel,
} from './wire.ts';

/** The server's end of a byte stream. */
export interface StreamPort {
  /** How many bytes may be sent now. */
  readonly creditBytes: number;
  /** Called whenever credit grows from nothing; the source sends again from there. */
  onCredit: () => void;
  /**
   * Bytes from the client; taking them grants the client as many again. What came before this was
   * set waits for it, and so does the end.
   */
  onBytes: (bytes: Uint8Array) => void | Promise<void>;
  /** The client will send no more. */
  onEnd: () => void;
  /** Must not exceed `creditBytes`. */
  send(bytes: Uint8Array): void;
  /** Sends all of it, in pieces, waiting for credit as often as needed. */
  sendAll(bytes: Uint8Array): Promise<void>;
  /** Sends it as one message of at most `chunkBytesMax`, once there is credit for all of it. */
  sendWhole(message: Uint8Array): Promise<void>;
  /** An empty message, where the method has a meaning for it; it costs no credit. */
  mark(): void;
}

export interface Caller {
  /** Aborted when the client cancels this call or goes away. */
  readonly signal: AbortSignal;
  readonly connection: Connection;
  /** Present on the rows of the table that have `stream`. */
  readonly stream?: StreamPort;
  /** Whether this client may name host paths (unix socket, the app itself). */
  readonly trusted: boolean;
}

/** What stands behind the table: one function for all methods, parameters already checked. */
export interface Api {
  call(method: MethodName, params: unknown, caller: Caller): Promise<unknown>;
  connected(connection: Connection): void;
  disconnected(connection: Connection): void;
}

const callsMax = 1024;
/** Streams keep to their credit; a client that reads no events is cut off here. */
const pendingBytesMax = 32 << 20;
const idle = () => {};

type TakeBytes = (bytes: Uint8Array) => void | Promise<void>;

class ServerStream implements StreamPort {
  creditBytes = creditBytes;
  onCredit: () => void = idle;
  /** What the client may still send before it must wait for us. */
  grantedBytes = creditBytes;
  private takeBytes?: TakeBytes;
  private takeEnd?: () => void;
  /** Came before anybody listened; no more than the credit, which is not given again till then. */
  private early: { bytes: Uint8Array; taken: (how: void | Promise<void>) => void }[] = [];
  private earlyEnd = false;
  private readonly sendBytes: (bytes: Uint8Array) => void;
  private readonly signal: AbortSignal;
  private waiting: (() => void)[] = [];

  constructor(sendBytes: (bytes: Uint8Array) => void, signal: AbortSignal) {
    this.sendBytes = sendBytes;
    this.signal = signal;
    signal.addEventListener('abort', () => this.wake(), { once: true });
  }

  set onBytes(take: TakeBytes) {
    this.takeBytes = take;
    for (const { bytes, taken } of this.early.splice(0)) taken(take(bytes));
  }

  set onEnd(take: () => void) {
    this.takeEnd = take;
    if (this.earlyEnd) take();
  }

  /** Bytes from the client; settles when they have been taken. */
  receive(bytes: Uint8Array): void | Promise<void> {
    if (this.takeBytes) return this.takeBytes(bytes);
    return new Promise<void>((taken) => this.early.push({ bytes, taken }));
  }

  receiveEnd(): void {
    if (this.takeEnd) this.takeEnd();
    else this.earlyEnd = true;
  }

  send(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    if (bytes.length > this.creditBytes) throw new Error('broken invariant: sent beyond credit');
    this.creditBytes -= bytes.length;
    for (let at = 0; at < bytes.length; at += chunkBytesMax) {
      this.sendBytes(bytes.subarray(at, at + chunkBytesMax));
    }
  }

  mark(): void {
    this.sendBytes(new Uint8Array(0));
  }

  async sendAll(bytes: Uint8Array): Promise<void> {
    let at = 0;
    while (at < bytes.length) {
      this.signal.throwIfAborted();
      if (this.creditBytes === 0) {
        await new Promise<void>((resolve) => this.waiting.push(resolve));
        continue;
      }
      const length = Math.min(this.creditBytes, bytes.length - at);
      this.send(bytes.subarray(at, at + length));
      at += length;
    }
  }

  async sendWhole(message: Uint8Array): Promise<void> {
    assert(message.length <= chunkBytesMax, 'a message is not longer than its limit');
    while (message.length > this.creditBytes) {
      this.signal.throwIfAborted();
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    this.signal.throwIfAborted();
    this.send(message);
  }

  grow(bytes: number): void {
    this.creditBytes = Math.min(this.creditBytes + bytes, creditBytes);
    this.wake();
    this.onCredit();
  }

  private wake(): void {
    const woken = this.waiting;
    this.waiting = [];
    for (const resume of woken) resume();
  }
}

type Call = { abort: AbortController; stream?: ServerStream };

export class Connection {
  /** Free for the api to keep what belongs to this client (its subscriptions). */
  subscribed = false;
  private readonly channel: Channel;
  private readonly api: Api;
  private readonly trusted: boolean;
  private readonly calls = new Map<number, Call>();
  private open = true;

  constructor(channel: Channel, api: Api, options: { trusted: boolean }) {
    this.channel = channel;
    this.api = api;
    this.trusted = options.trusted;
    channel.onMessage = (message) => this.receive(message);
    channel.onClose = () => this.end();
    api.connected(this);
  }

  /** Bytes this client has not taken yet; the api may skip samples for a client far behind. */
  get pendingBytes(): number {
    return this.channel.pendingBytes;
  }

  /** A client too far behind is cut off: the snapshot that it gets next is shorter. */
  emit<E extends EventName>(event: E, payload: Events[E]): void {
    if (this.channel.pendingBytes > pendingBytesMax) this.close();
    else this.send({ event, payload });
  }

  close(): void {
    this.channel.close();
    this.end();
  }

  private send(message: object): void {
    if (this.open) this.channel.send(JSON.stringify(message));
  }

  private end(): void {
    if (!this.open) return;
    this.open = false;
    for (const call of this.calls.values()) call.abort.abort();
    this.calls.clear();
    this.api.disconnected(this);
  }

  private receive(message: string | Uint8Array): void {
    if (!this.open) return;
    try {
      if (typeof message === 'string') this.receiveControl(message);
      else this.receiveBytes(message);
    } catch (thrown) {
      const { code, message: sentence } = asRefusal(thrown);
      this.send({ id: 1, error: { code, message: sentence } });
      this.close();
    }
  }

  private receiveControl(text: string): void {
    const message = parseControl(clientMessage, text);
    if ('method' in message) this.begin(message.id, message.method, message.params);
    else if ('cancel' in message) this.calls.get(message.cancel)?.abort.abort();
    else if ('credit' in message) this.calls.get(message.credit)?.stream?.grow(message.bytes);
    else this.calls.get(message.end)?.stream?.receiveEnd();
  }

  private receiveBytes(message: Uint8Array): void {
    const { stream: id, payload } = unpackBytes(message);
    const call = this.calls.get(id);
    const stream = call?.stream;
    if (!stream) return;
    if (payload.length > stream.grantedBytes) {
      throw new Refusal('bad-input', 'More bytes were sent on a stream than were asked for.');
    }
    stream.grantedBytes -= payload.length;
    // Whoever cannot take the bytes ends this call, never the server.
    void (async () => {
      await stream.receive(payload.slice());
      stream.grantedBytes += payload.length;
      this.send({ credit: id, bytes: payload.length });
    })().catch(() => call.abort.abort());
  }

  private begin(id: number, method: string, params: unknown): void {
    if (this.calls.has(id)) throw new Refusal('bad-input', 'A call number was used twice.');
    if (this.calls.size >= callsMax) throw new Refusal('bad-input', 'Too many calls at once.');
    const abort = new AbortController();
    const call: Call = { abort };
    this.calls.set(id, call);
    this.run(id, method, params, call)
      .then((result) => this.send({ id, result: result ?? null }))
      .catch((thrown: unknown) => {
        const { code, message, at } = asRefusal(thrown);
        this.send({ id, error: { code, message, ...(at ? { at } : {}) } });
      })
      .finally(() => {
        this.calls.delete(id);
        call.abort.abort();
      });
  }

  private async run(id: number, method: string, params: unknown, call: Call): Promise<unknown> {
    if (!Object.hasOwn(methods, method)) {
      throw new Refusal('usage', `There is no method “${method.slice(0, 40)}”.`);
    }
    const row = methods[method as MethodName];
    const parsed = row.params.safeParse(params ?? {});
    if (!parsed.success) throw new Refusal('usage', plainIssue(parsed.error.issues[0]!));
    if ('stream' in row) {
      const send = (bytes: Uint8Array) => {
        if (this.open) this.channel.send(packBytes(id, bytes));
      };
      call.stream = new ServerStream(send, call.abort.signal);
      this.send({ id, stream: id });
      this.send({ credit: id, bytes: creditBytes });
    }
    return this.api.call(method as MethodName, parsed.data, {
      signal: call.abort.signal,
      connection: this,
      trusted: this.trusted,
      ...(call.stream ? { stream: call.stream } : {}),
    });
  }
}

function plainIssue(issue: { path: PropertyKey[]; message: string }): string {
  const where = issue.path.map(String).join('.');
  return where ? `${where}: ${issue.message}.` : `${issue.message}.`;
}
