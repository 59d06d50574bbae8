/**
 * Speaks to a running kernel's management console. One request at a time; a kernel that does not
 * answer is a `timeout`, never a hang (`sysrq c`, for one, never answers).
 *
 *   const console = new MconsoleClient(new SocketRoad(runDirectory));
 *   await console.request('version');
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatagramClient, type RequestOptions } from '../../../base/node/datagram.ts';
import { Refusal } from '../../../base/refusal.ts';
import { decodeReply, encodeRequest } from '../mconsole.ts';

const repliesMax = 4096;

/** How requests get there and replies come back, one exchange at a time. */
export interface MconsoleRoad {
  request(bytes: Uint8Array, options: RequestOptions): Promise<void>;
  close(): void;
}

/** By the socket that the kernel has bound in its run directory. */
export class SocketRoad implements MconsoleRoad {
  private readonly socketPath: string;
  private readonly ownPath: string;
  private client?: DatagramClient;

  constructor(runDirectory: string) {
    this.socketPath = join(runDirectory, 'm', 'mconsole');
    this.ownPath = join(runDirectory, 'client');
  }

  async request(bytes: Uint8Array, options: RequestOptions): Promise<void> {
    if (!this.client) {
      rmSync(this.ownPath, { force: true });
      // A path, since an abstract address cannot be reached from another network namespace.
      this.client = DatagramClient.open({ bindPath: this.ownPath });
    }
    await this.client.request(this.socketPath, bytes, options);
  }

  close(): void {
    this.client?.close();
    this.client = undefined;
  }
}

type Answer = { text: string; failed: boolean; count: number };

export class MconsoleClient {
  private readonly road: MconsoleRoad;

  constructor(road: MconsoleRoad) {
    this.road = road;
  }

  /** @throws Refusal `unavailable`, `timeout`, or `wrong-state` with the kernel's own words. */
  async request(command: string, timeoutMs = 2000): Promise<string> {
    const answer: Answer = { text: '', failed: false, count: 0 };
    await this.exchange(command, answer, { timeoutMs });
    return answer.text;
  }

  /**
   * The same for a person, who wants no empty line at either end, and of what SysRq prints as much
   * as came: a kernel drops what does not fit into the queue of the one who asked, its end too.
   */
  async say(line: string): Promise<string> {
    if (!/^(sysrq|stack) /.test(line)) return (await this.request(line)).trim();
    const answer: Answer = { text: '', failed: false, count: 0 };
    const restore = await this.printAll();
    try {
      await this.exchange(line, answer, { timeoutMs: 2000, eager: true });
    } catch (thrown) {
      // Crash, reboot and power-off end the kernel without an answer.
      const ends = /^sysrq [bco]$/.test(line);
      const cut = answer.text !== '' && !ends;
      if (!(cut || ends) || !(thrown instanceof Refusal) || thrown.code !== 'timeout') throw thrown;
      if (cut) answer.text += '… The rest is in the log of its console.';
    } finally {
      await restore();
    }
    return answer.text.trim();
  }

  /** The answer is what the kernel prints, so nothing of it may be below its console's level. */
  private async printAll(): Promise<() => Promise<void>> {
    const levels = await this.request('proc sys/kernel/printk');
    const level = /^\s*(\d)\s/.exec(levels)?.[1];
    await this.request('sysrq 8');
    return async () => {
      if (level !== undefined) await this.request(`sysrq ${level}`).catch(() => undefined);
    };
  }

  private async exchange(
    command: string,
    answer: Answer,
    options: Pick<RequestOptions, 'timeoutMs' | 'eager'>,
  ): Promise<void> {
    await this.road.request(encodeRequest(command), {
      ...options,
      onReply: (bytes) => {
        const reply = decodeReply(bytes);
        answer.text += reply.text;
        answer.failed ||= reply.failed;
        return !reply.more || ++answer.count >= repliesMax;
      },
    });
    if (!answer.failed) return;
    const words = answer.text.trim();
    throw new Refusal('wrong-state', `The kernel refused “${command}”: ${words}.`);
  }

  close(): void {
    this.road.close();
  }
}
