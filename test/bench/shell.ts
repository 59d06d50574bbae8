/** A shell on a machine's first console: what is typed, and when the answer is there. */
import type { Client } from '../../src-main/rpc/client.ts';

const patienceMs = 60_000;

export class Shell {
  private text = '';
  private wake: () => void = () => {};
  private readonly write: (text: string) => void;
  readonly close: () => void;

  /** Where somebody has logged in already. */
  constructor(client: Client, machine: string) {
    const stream = client.open('console.attach', { machine, console: 0 }, (bytes) => {
      this.text += Buffer.from(bytes).toString('latin1');
      this.wake();
    });
    // It ends with the world, when nobody waits for anything any more.
    stream.result.catch(() => undefined);
    this.close = () => stream.cancel();
    this.write = (text) => void stream.write(Buffer.from(text));
  }

  /** Logs in, as soon as it is asked to. */
  static async open(client: Client, machine: string): Promise<Shell> {
    const shell = new Shell(client, machine);
    await shell.until('login: ');
    await shell.say('root\r', '# ');
    return shell;
  }

  async say(words: string, answer: string): Promise<void> {
    this.text = '';
    this.write(words);
    await this.until(answer);
  }

  async until(answer: string): Promise<void> {
    const late = setTimeout(() => this.wake(), patienceMs);
    const began = performance.now();
    while (!this.text.includes(answer)) {
      if (performance.now() - began > patienceMs) throw new Error(`“${answer}” never came`);
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    clearTimeout(late);
  }
}
