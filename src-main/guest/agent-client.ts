/**
 * The host's end of the line to the agent in a guest.
 *
 *   const client = new AgentClient(line, { nonce, timers });
 *   await client.ready(10_000);
 *   const session = client.exec({ argv: ['uname', '-r'], stdout: (bytes) => … });
 *   client.onStats(1000, (stats) => …); client.setWindow('/dev/tty0', { rows: 50, columns: 120 });
 *
 * detached ──hello answered──► attached ──frames lost, agent restarted──► detached (says hello)
 *
 * The line may be joined at any time and its other end may restart at any time. A hello with our
 * nonce makes the agent forget all that others asked; window sizes and the wish for figures are
 * said again after each. What must hold: sessions never outlive an attachment; every wait ends by
 * its timeout; nothing that the guest sends makes this throw or grow.
 */
import { Refusal } from '../base/refusal.ts';
import type { ExecSession, OutputListener } from './exec-session.ts';
import { notStarted, RemoteSession, windowBytes } from './exec-session.ts';
import { encodeFrame, FrameReader, type Frame } from './frames.ts';
import type { GuestHello, GuestMessage, HostMessage, PowerAction, WindowSize } from './protocol.ts';
import { decodeGuest, encodeHost, execFits, protocolVersion } from './protocol.ts';
import { PacedLine } from './paced-line.ts';
import { parseStats, type GuestStats } from './stats.ts';

/** A byte road to the guest: what is written comes out there, in order, or not at all. */
export interface Line {
  write(bytes: Uint8Array): void;
  /** Returns what takes the listener off again. */
  onBytes(listener: (bytes: Uint8Array) => void): () => void;
}

export interface Timers {
  set(callback: () => void, delayMs: number): unknown;
  clear(handle: unknown): void;
}

export interface ClientOptions {
  /** Any number that no other client of this line uses: 32 random bits. */
  nonce: number;
  timers: Timers;
  /** Random bytes (at most 512) for the guest's random pool, said with every hello. */
  seed?: () => Uint8Array;
  /** What may be on the way to the agent at once, if its line takes more than any does. */
  windowBytes?: number;
}

export interface CommandRequest {
  argv: readonly string[];
  /** Added to PATH, HOME, USER and, with a terminal, TERM. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  tty?: WindowSize;
  stdout?: OutputListener;
  stderr?: OutputListener;
}

const sessionsMax = 16;
const windowsMax = 16;
const firstRetryMs = 100;
const longestRetryMs = 2000;
const tokensMax = 256;
const askedMax = 256;
/** Silence after which the agent is asked whether it has taken all that was sent. */
const stallMs = 3000;

interface Waiter {
  needsBoot: boolean;
  resolve: (hello: GuestHello) => void;
  reject: (refusal: Refusal) => void;
}

export class AgentClient {
  private readonly paced: PacedLine;
  private readonly timers: Timers;
  private readonly seed: (() => Uint8Array) | undefined;
  private readonly reader = new FrameReader();
  private readonly stopListening: () => void;
  private nonce: number;
  private sequence = 0;
  private heardSequence: number | undefined;
  private greeting: GuestHello | undefined;
  private readonly waiters = new Set<Waiter>();
  private retry: unknown;
  private stall: unknown;
  /** What had been sent at each hello that may still be answered: the answer has taken as much. */
  private asked: number[] = [];
  private probing = false;
  private readonly sessions = new Map<number, { session: RemoteSession; program: string }>();
  private lastSession = 0;
  private lastToken = 0;
  private readonly tokens = new Map<number, (errno: number | Refusal) => void>();
  private readonly windows = new Map<string, WindowSize>();
  private readonly samplers = new Map<symbol, { intervalMs: number; listener: StatsListener }>();
  private readonly startListeners = new Set<(hello: GuestHello) => void>();
  private readonly troubleListeners = new Set<(sentence: string) => void>();
  private closed = false;

  constructor(line: Line, options: ClientOptions) {
    this.paced = new PacedLine((bytes) => line.write(bytes), options.windowBytes);
    this.timers = options.timers;
    this.seed = options.seed;
    this.nonce = options.nonce >>> 0 || 1;
    this.stopListening = line.onBytes((bytes) => this.take(bytes));
  }

  /** The agent's latest words about the guest; undefined while it does not answer. */
  get guest(): GuestHello | undefined {
    return this.greeting;
  }

  /** Asks who is there. Refusals: `timeout`, `unsupported` (another protocol), `unavailable`. */
  hello(timeoutMs: number): Promise<GuestHello> {
    if (!this.closed) this.sayHello();
    return this.wait(false, timeoutMs);
  }

  /** As hello, and waits until the guest's own init runs, so that commands can be started. */
  ready(timeoutMs: number): Promise<GuestHello> {
    if (this.greeting?.booted) return Promise.resolve(this.greeting);
    if (!this.closed) this.sayHello();
    return this.wait(true, timeoutMs);
  }

  /** Starts a command. What is wrong with it comes as a rejection of `exit`. */
  exec(request: CommandRequest): ExecSession {
    if (!this.greeting) throw noAnswer();
    if (this.sessions.size >= sessionsMax) {
      throw new Refusal('no-space', `At most ${sessionsMax} commands run in a machine at once.`);
    }
    const message = { kind: 'exec' as const, ...toExec(request) };
    if (!execFits(message)) throw new Refusal('usage', 'The command line cannot be sent as it is.');
    const id = this.freeSession();
    const session = new RemoteSession(id, (each) => this.send(each), request);
    this.sessions.set(id, { session, program: request.argv[0] ?? '' });
    this.send({ ...message, session: id });
    return session;
  }

  /** Samples every interval while somebody listens; returns what ends it. */
  onStats(intervalMs: number, listener: StatsListener): () => void {
    const key = Symbol('sampler');
    this.samplers.set(key, { intervalMs, listener });
    this.askForStats();
    return () => {
      if (this.samplers.delete(key)) this.askForStats();
    };
  }

  /** The size of one of the machine's own terminals, `/dev/tty0` for the first console. */
  setWindow(path: string, size: WindowSize): void {
    if (!this.windows.has(path) && this.windows.size >= windowsMax) return;
    this.windows.set(path, size);
    if (this.greeting) this.send({ kind: 'window', session: 0, path, ...size });
  }

  /** Asks the guest's init for an orderly end; resolves when it was asked, not when it is off. */
  async powerOff(action: PowerAction = 'poweroff', timeoutMs = 5000): Promise<void> {
    await this.ask((token) => ({ kind: 'power', token, action }), timeoutMs);
  }

  /** Everything the guest has written is on its disks when this resolves. */
  async sync(timeoutMs: number): Promise<void> {
    await this.ask((token) => ({ kind: 'sync', token }), timeoutMs);
  }

  setHostname(name: string): void {
    if (this.greeting) this.send({ kind: 'hostname', name: name.slice(0, 64) });
  }

  reseed(seed: Uint8Array): void {
    if (this.greeting) this.send({ kind: 'reseed', seed: seed.subarray(0, 512) });
  }

  /** The agent was there for the first time, or again after a restart of the guest. */
  onStarted(listener: (hello: GuestHello) => void): () => void {
    this.startListeners.add(listener);
    return () => this.startListeners.delete(listener);
  }

  /** The guest could not boot; one sentence of why. */
  onTrouble(listener: (sentence: string) => void): () => void {
    this.troubleListeners.add(listener);
    return () => this.troubleListeners.delete(listener);
  }

  /** Leaves the line; commands that run are hung up by the next client's hello. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.timers.clear(this.stall);
    this.stopListening();
    this.detach(new Refusal('cancelled', 'The connection to the machine was closed.'));
    this.timers.clear(this.retry);
    for (const waiter of [...this.waiters]) {
      waiter.reject(new Refusal('cancelled', 'The connection to the machine was closed.'));
    }
  }

  private take(bytes: Uint8Array): void {
    for (const frame of this.reader.push(bytes)) {
      const message = decodeGuest(frame);
      if (message?.kind === 'hello') this.heardHello(message, frame);
      else if (message?.kind === 'trouble') this.heardTrouble(message.sentence);
      // Before our hello is answered, what comes belongs to another client's time.
      else if (this.greeting) this.heard(message, frame);
    }
  }

  private heardHello(hello: GuestHello, frame: Frame): void {
    if (hello.started) {
      this.detach(new Refusal('unavailable', 'The machine was restarted.'));
      // Both ends must count from 0 again, and the agent does so only for another nonce.
      this.nonce = nextNonce(this.nonce);
      this.sayHello();
      return;
    }
    if (hello.nonce !== this.nonce) return;
    this.timers.clear(this.retry);
    this.retry = undefined;
    const gap = frame.sequence !== (((this.heardSequence ?? 0) + 1) & 0xffff);
    // Several may have been said before the first answer, and be answered much later.
    const which = this.asked.indexOf(hello.takenBytes);
    if (this.greeting && (gap || which < 0)) {
      this.lost();
      return;
    }
    this.asked.splice(0, which + 1);
    this.probing = false;
    this.paced.taken(hello.takenBytes);
    this.heardSequence = frame.sequence;
    const first = this.greeting === undefined;
    if (hello.version !== protocolVersion) {
      const refusal = new Refusal(
        'unsupported',
        'The agent in the machine is of another version; restart the machine to renew it.',
      );
      for (const waiter of [...this.waiters]) waiter.reject(refusal);
      return;
    }
    this.greeting = hello;
    if (first) this.sayAgain();
    for (const waiter of [...this.waiters]) {
      if (hello.booted || !waiter.needsBoot) waiter.resolve(hello);
    }
    if (first && hello.booted) for (const listener of this.startListeners) listener(hello);
  }

  private sayAgain(): void {
    const seed = this.seed?.();
    if (seed) this.reseed(seed);
    for (const [path, size] of this.windows) {
      this.send({ kind: 'window', session: 0, path, ...size });
    }
    if (this.samplers.size > 0) this.askForStats();
  }

  private heardTrouble(sentence: string): void {
    for (const waiter of [...this.waiters]) {
      if (waiter.needsBoot) waiter.reject(new Refusal('unavailable', sentence));
    }
    for (const listener of this.troubleListeners) listener(sentence);
  }

  private heard(message: GuestMessage | undefined, frame: Frame): void {
    const expected = ((this.heardSequence ?? 0) + 1) & 0xffff;
    this.heardSequence = frame.sequence;
    if (frame.sequence !== expected || message?.kind === 'lost') {
      this.lost();
      return;
    }
    if (!message) return;
    if (message.kind === 'taken') this.paced.taken(message.bytes);
    this.watchForStall();
    if ('session' in message) this.heardOfSession(message);
    else if (message.kind === 'done') this.tokens.get(message.token)?.(message.errno);
    else if (message.kind === 'stats') {
      const stats = parseStats(message.sections);
      for (const { listener } of this.samplers.values()) listener(stats);
    }
  }

  private lost(): void {
    this.detach(new Refusal('unavailable', 'The connection to the machine lost data.'));
    this.nonce = nextNonce(this.nonce);
    this.sayHello();
  }

  /**
   * What was sent may have been lost with nothing after it to show the gap: ask after a while.
   * A paused machine answers later, and nothing is lost.
   */
  private watchForStall(): void {
    this.timers.clear(this.stall);
    this.stall = undefined;
    if (!this.greeting || this.paced.settled) return;
    this.stall = this.timers.set(() => {
      if (!this.greeting || this.paced.settled) return;
      if (!this.probing && this.paced.atBoundary) {
        this.probing = true;
        this.write({ kind: 'hello', nonce: this.nonce });
      }
      this.watchForStall();
    }, stallMs);
  }

  private heardOfSession(message: Extract<GuestMessage, { session: number }>): void {
    const found = this.sessions.get(message.session);
    if (!found) return;
    const { session, program } = found;
    switch (message.kind) {
      case 'started': return;
      case 'credit': session.granted(message.bytes); return;
      case 'exit':
        this.sessions.delete(message.session);
        if (message.ending.kind !== 'not-started') session.finish(message.ending);
        else session.fail(notStarted(program, message.ending));
        return;
      case 'stdout': case 'stderr':
        if (session.output(message.kind, message.bytes)) return;
        this.sessions.delete(message.session);
        session.kill(9);
        session.fail(new Refusal('bad-input', 'The agent in the machine broke its protocol.'));
    }
  }

  private detach(refusal: Refusal): void {
    this.greeting = undefined;
    this.asked = [];
    this.probing = false;
    this.paced.restart();
    for (const { session } of this.sessions.values()) session.fail(refusal);
    this.sessions.clear();
    for (const settle of [...this.tokens.values()]) settle(refusal);
  }

  /**
   * Asks an attached agent in its turn; else says hello now and again, each time after a longer
   * pause, until it is answered.
   */
  private sayHello(pauseMs = firstRetryMs): void {
    this.timers.clear(this.retry);
    if (this.closed) return;
    // In the middle of a frame it would spoil that; the frame's end will come or the stall watch.
    if (this.paced.atBoundary) this.write({ kind: 'hello', nonce: this.nonce });
    this.retry = this.timers.set(
      () => this.sayHello(Math.min(pauseMs * 2, longestRetryMs)),
      pauseMs,
    );
  }

  private wait(needsBoot: boolean, timeoutMs: number): Promise<GuestHello> {
    if (this.closed) {
      return Promise.reject(new Refusal('cancelled', 'The connection to the machine was closed.'));
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        needsBoot,
        resolve: (hello) => {
          end();
          resolve(hello);
        },
        reject: (refusal) => {
          end();
          reject(refusal);
        },
      };
      const timer = this.timers.set(
        () => waiter.reject(new Refusal('timeout', 'The agent in the machine does not answer.')),
        timeoutMs,
      );
      const end = () => {
        this.timers.clear(timer);
        this.waiters.delete(waiter);
        // Nobody waits and nothing was attached: stop filling a line that no one reads.
        if (this.waiters.size === 0 && !this.greeting) this.timers.clear(this.retry);
      };
      this.waiters.add(waiter);
    });
  }

  private ask(message: (token: number) => HostMessage, timeoutMs: number): Promise<void> {
    if (!this.greeting || this.tokens.size >= tokensMax) {
      return Promise.reject(noAnswer());
    }
    do this.lastToken = (this.lastToken % 0xffff) + 1;
    while (this.tokens.has(this.lastToken));
    const token = this.lastToken;
    return new Promise((resolve, reject) => {
      const settle = (outcome: number | Refusal) => {
        this.timers.clear(timer);
        this.tokens.delete(token);
        if (outcome === 0) resolve();
        else if (outcome instanceof Refusal) reject(outcome);
        else reject(new Refusal('internal', `The machine refused it (${outcome}).`));
      };
      const timer = this.timers.set(
        () => settle(new Refusal('timeout', 'The agent in the machine did not answer in time.')),
        timeoutMs,
      );
      this.tokens.set(token, settle);
      this.send(message(token));
    });
  }

  private askForStats(): void {
    if (!this.greeting) return;
    const wishes = [...this.samplers.values()].map(({ intervalMs }) => intervalMs);
    const intervalMs = wishes.length === 0 ? 0 : Math.max(50, Math.min(...wishes));
    this.send({ kind: 'stats', intervalMs });
  }

  private freeSession(): number {
    do this.lastSession = (this.lastSession % 0xffff) + 1;
    while (this.sessions.has(this.lastSession));
    return this.lastSession;
  }

  private send(message: HostMessage): void {
    // Before the hello is answered nothing but a hello may be said.
    if (this.closed || !this.greeting) return;
    this.paced.send(this.frame(message));
    if (this.stall === undefined) this.watchForStall();
  }

  /** A hello goes ahead of what waits: it takes no number in the sequence of the others. */
  private write(message: HostMessage & { kind: 'hello' }): void {
    const { sequence } = this;
    this.asked = [...this.asked, this.paced.sentBytes >>> 0].slice(-askedMax);
    this.paced.hello(encodeFrame({ ...encodeHost(message), sequence }));
  }

  private frame(message: HostMessage): Uint8Array {
    this.sequence = (this.sequence + 1) & 0xffff;
    return encodeFrame({ ...encodeHost(message), sequence: this.sequence });
  }
}

/** Another one that no other client is likely to have: they count from random numbers too. */
function nextNonce(nonce: number): number {
  return (nonce + 0x9e3779b9) >>> 0 || 1;
}

export type StatsListener = (stats: GuestStats) => void;

function noAnswer(): Refusal {
  return new Refusal('unavailable', 'The agent in the machine does not answer.');
}

function toExec(request: CommandRequest) {
  const env: Record<string, string> = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    USER: 'root',
    ...(request.tty ? { TERM: 'xterm-256color' } : {}),
    ...request.env,
  };
  return {
    argv: request.argv,
    env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    cwd: request.cwd ?? '',
    tty: request.tty,
    creditBytes: windowBytes,
  };
}
