/**
 * The connection as the window sees it: connecting, open or lost. When it is lost it dials again
 * with growing pauses, and whoever mirrors something subscribes anew in `onOpen`.
 *
 * `call` throws what the server refuses; `attempt` turns a refusal into a toast and returns
 * undefined. Views use `attempt` unless they show the sentence themselves.
 */
import { connect, refused } from '../client/connect.ts';
import type { CallName, Client, Input, Refused, Result } from '../client/connect.ts';
import type { Toasts } from './toasts.svelte.ts';

const firstPauseMs = 300;
const pauseMsMax = 5000;
/** Shorter breaks are mended before anybody needs to know. */
const quietMs = 700;

export class Link {
  status = $state<'connecting' | 'open' | 'lost'>('connecting');
  /** Grows with each new connection; consoles attach again when it does. */
  generation = $state(0);
  client = $state.raw<Client | undefined>();
  readonly toasts: Toasts;
  private readonly openers: ((client: Client) => void)[] = [];
  private pauseMs = firstPauseMs;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private dialing = false;

  constructor(toasts: Toasts) {
    this.toasts = toasts;
  }

  onOpen(opener: (client: Client) => void): void {
    this.openers.push(opener);
  }

  async dial(): Promise<void> {
    if (this.dialing || this.client) return;
    clearTimeout(this.timer);
    this.dialing = true;
    try {
      const client = await connect();
      client.onClose = () => this.lose();
      for (const open of this.openers) open(client);
      this.client = client;
      this.pauseMs = firstPauseMs;
      this.generation += 1;
      await client.call('events.subscribe', {});
      this.status = 'open';
    } catch {
      this.lose();
    } finally {
      this.dialing = false;
    }
  }

  /** The server is about to go because we asked it to: do not dial again. */
  end(): void {
    this.ended = true;
  }

  get over(): boolean {
    return this.ended && this.status === 'lost';
  }

  call<M extends CallName>(
    method: M,
    params: Input<M>,
    signal?: AbortSignal,
  ): Promise<Result<M>> {
    if (!this.client) return Promise.reject(new Error('The server does not answer.'));
    return this.client.call(method, params, signal);
  }

  async attempt<M extends CallName>(method: M, params: Input<M>): Promise<Result<M> | undefined> {
    try {
      return await this.call(method, params);
    } catch (thrown) {
      this.refuse(refused(thrown));
      return undefined;
    }
  }

  refuse(refusal: Refused): void {
    if (refusal.code !== 'cancelled') this.toasts.show('refusal', refusal.sentence);
  }

  private lose(): void {
    this.client = undefined;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.dial(), this.pauseMs);
    if (this.ended) clearTimeout(this.timer);
    setTimeout(() => {
      if (!this.client) this.status = 'lost';
    }, quietMs);
    this.pauseMs = Math.min(this.pauseMs * 2, pauseMsMax);
  }
}
