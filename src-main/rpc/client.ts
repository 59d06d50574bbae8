/**
 * The client's half: typed calls, byte streams and events over any `Channel`. The window, the
 * command line and a script all hold one of these.
 *
 *   const client = new Client(channel);
 *   client.on('machine.changed', (machine) => …);
 *   await client.call('machine.start', { machine: 'web' });
 *   const stream = client.open('console.attach', { machine: 'web' }, (bytes) => …);
 */
import type { CallName, Input, MethodName, Result, StreamName } from '../contract/methods.ts';
import type { EventName, Events } from '../contract/events.ts';
import { asRefusal, Refusal } from '../base/refusal.ts';
import {
  chunkBytesMax,
  creditBytes,
  packBytes,
  parseControl,
  serverMessage,
  unpackBytes,
  type Channel,
} from './wire.ts';

export interface ByteStream<R> {
  /**
   * Queued until the other side has granted credit; settles when all of it is on its way, or will
   * never be. Whoever has more to write waits for that.
   * @throws Refusal `no-space` when `waitingBytesMax` would be passed, and then takes nothing.
   */
  write(bytes: Uint8Array): Promise<void>;
  /** No more will be written; bytes may still arrive. */
  end(): void;
  /** Close it from our side; `result` rejects with `cancelled`. */
  cancel(): void;
  /** Settles when the other side has ended it. */
  readonly result: Promise<R>;
}

/** Takes the bytes of a stream; a returned promise holds the sender back until it resolves. */
export type ByteSink = (bytes: Uint8Array) => void | Promise<void>;

/** What one stream keeps for a sender that does not wait. */
export const waitingBytesMax = 4 << 20;

type Pending = {
  resolve: (value: unknown) => void;
  reject: (refusal: Refusal) => void;
  stream?: StreamState;
};

type StreamState = {
  sink: ByteSink;
  creditBytes: number;
  queue: { bytes: Uint8Array; gone: () => void }[];
  queuedBytes: number;
  ending: boolean;
  ended: boolean;
  /** Sinks run one after another, so that a slow one really holds the sender back. */
  tail: Promise<void>;
  /** Its sink has thrown. */
  broken: boolean;
  refuse: (refusal: Refusal) => void;
};

export class Client {
  onClose: (reason: Refusal) => void = () => {};
  private readonly channel: Channel;
  private readonly pending = new Map<number, Pending>();
  private readonly listeners = new Map<string, Set<(payload: never) => void>>();
  private lastId = 0;
  private closed?: Refusal;

  constructor(channel: Channel) {
    this.channel = channel;
    channel.onMessage = (message) => this.receive(message);
    channel.onClose = () => this.fail(new Refusal('unavailable', 'The server is gone.'));
  }

  call<M extends CallName>(method: M, params: Input<M>, signal?: AbortSignal): Promise<Result<M>> {
    const id = this.begin(method, params);
    if (typeof id !== 'number') return Promise.reject(id);
    if (signal?.aborted) this.send({ cancel: id });
    signal?.addEventListener('abort', () => this.send({ cancel: id }), { once: true });
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
    });
  }

  open<M extends StreamName>(method: M, params: Input<M>, sink: ByteSink): ByteStream<Result<M>> {
    const id = this.begin(method, params);
    if (typeof id !== 'number') return deadStream(id);
    const stream: StreamState = {
      sink,
      creditBytes: 0,
      queue: [],
      queuedBytes: 0,
      ending: false,
      ended: false,
      tail: Promise.resolve(),
      broken: false,
      refuse: () => {},
    };
    const result = new Promise<Result<M>>((resolve, reject) => {
      stream.refuse = reject;
      this.pending.set(id, { resolve: resolve as (value: unknown) => void, reject, stream });
    });
    return {
      result,
      write: (bytes) => {
        if (stream.ending || !this.pending.has(id)) return Promise.resolve();
        if (stream.queuedBytes + bytes.length > waitingBytesMax) {
          throw new Refusal('no-space', 'More is written than the other side takes.');
        }
        return new Promise<void>((gone) => {
          stream.queue.push({ bytes, gone });
          stream.queuedBytes += bytes.length;
          this.pump(id, stream);
        });
      },
      end: () => {
        stream.ending = true;
        this.pump(id, stream);
      },
      cancel: () => {
        if (this.pending.has(id)) this.send({ cancel: id });
      },
    };
  }

  on<E extends EventName>(event: E, listener: (payload: Events[E]) => void): () => void {
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set);
    set.add(listener as (payload: never) => void);
    return () => set.delete(listener as (payload: never) => void);
  }

  close(): void {
    this.fail(new Refusal('cancelled', 'Closed.'));
    this.channel.close();
  }

  private begin(method: MethodName, params: unknown): number | Refusal {
    if (this.closed) return this.closed;
    const id = ++this.lastId;
    this.send({ id, method, params });
    return id;
  }

  private send(message: object): void {
    if (!this.closed) this.channel.send(JSON.stringify(message));
  }

  private receive(message: string | Uint8Array): void {
    try {
      if (typeof message === 'string') this.receiveControl(message);
      else this.receiveBytes(message);
    } catch (thrown) {
      this.fail(thrown instanceof Refusal ? thrown : new Refusal('internal', String(thrown)));
      this.channel.close();
    }
  }

  private receiveControl(text: string): void {
    const message = parseControl(serverMessage, text);
    if ('event' in message) {
      for (const listener of this.listeners.get(message.event) ?? []) {
        listener(message.payload as never);
      }
    } else if ('credit' in message) {
      const stream = this.pending.get(message.credit)?.stream;
      if (!stream) return;
      stream.creditBytes += message.bytes;
      this.pump(message.credit, stream);
    } else if ('error' in message) {
      const { code, message: sentence, at } = message.error;
      this.settle(message.id, (waiting) => waiting.reject(new Refusal(code, sentence, at)));
    } else if ('result' in message) {
      this.settle(message.id, (waiting) => waiting.resolve(message.result));
    }
  }

  /** A stream's result must not overtake bytes that its sink is still taking. */
  private settle(id: number, how: (waiting: Pending) => void): void {
    const waiting = this.pending.get(id);
    if (!waiting) return;
    this.pending.delete(id);
    this.forget(waiting.stream);
    if (waiting.stream) void waiting.stream.tail.then(() => how(waiting));
    else how(waiting);
  }

  private receiveBytes(message: Uint8Array): void {
    const { stream: id, payload } = unpackBytes(message);
    const stream = this.pending.get(id)?.stream;
    if (!stream) return;
    stream.tail = stream.tail.then(async () => {
      if (stream.broken) return;
      await stream.sink(payload);
      // A mark took no credit, so none is given for it.
      if (payload.length > 0) this.send({ credit: id, bytes: payload.length });
    });
    // A sink that throws ends its own stream; nothing else on this channel notices.
    stream.tail = stream.tail.catch((thrown: unknown) => {
      stream.broken = true;
      const waiting = this.pending.get(id);
      this.pending.delete(id);
      this.forget(stream);
      if (waiting) this.send({ cancel: id });
      stream.refuse(asRefusal(thrown));
    });
  }

  private pump(id: number, stream: StreamState): void {
    for (;;) {
      const first = stream.queue[0];
      if (!first || (first.bytes.length > 0 && stream.creditBytes === 0)) break;
      const length = Math.min(first.bytes.length, stream.creditBytes, chunkBytesMax);
      if (length > 0) this.channel.send(packBytes(id, first.bytes.subarray(0, length)));
      stream.creditBytes -= length;
      stream.queuedBytes -= length;
      first.bytes = first.bytes.subarray(length);
      if (first.bytes.length > 0) continue;
      stream.queue.shift();
      first.gone();
    }
    if (stream.ending && !stream.ended && stream.queue.length === 0) {
      stream.ended = true;
      this.send({ end: id });
    }
  }

  /** Nobody takes what still waits; whoever waits for that goes on. */
  private forget(stream: StreamState | undefined): void {
    if (!stream) return;
    stream.queuedBytes = 0;
    for (const { gone } of stream.queue.splice(0)) gone();
  }

  private fail(reason: Refusal): void {
    if (this.closed) return;
    this.closed = reason;
    for (const waiting of this.pending.values()) {
      this.forget(waiting.stream);
      waiting.reject(reason);
    }
    this.pending.clear();
    this.onClose(reason);
  }
}

/** Bytes granted to the server when a stream opens, without being asked. */
export const initialCreditBytes = creditBytes;

function deadStream<R>(reason: Refusal): ByteStream<R> {
  return { write: async () => {}, end() {}, cancel() {}, result: Promise.reject(reason) };
}
