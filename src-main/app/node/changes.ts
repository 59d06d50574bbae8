/** Waiting for the next change of something, or for a while, whichever is first. */
import { clock } from './clock.ts';

export class Changes {
  private waiting: (() => void)[] = [];

  tell(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  async next(timeoutMs: number): Promise<void> {
    await Promise.race([
      new Promise<void>((resolve) => this.waiting.push(resolve)),
      clock.delay(Math.max(1, timeoutMs)),
    ]);
  }
}
