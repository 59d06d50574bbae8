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

export class MconsoleClient {
  private readonly road: MconsoleRoad;

  constructor(road: MconsoleRoad) {
    this.road = road;
  }

  /** @throws Refusal `unavailable`, `timeout`, or `wrong-state` with the kernel's own words. */
  async request(command: string, timeoutMs = 2000): Promise<string> {
    let text = '';
    let failed = false;
    let count = 0;
    await this.road.request(encodeRequest(command), {
      timeoutMs,
      onReply: (bytes) => {
        const reply = decodeReply(bytes);
        text += reply.text;
        failed ||= reply.failed;
        return !reply.more || ++count >= repliesMax;
      },
    });
    if (failed)
      throw new Refusal('wrong-state', `The kernel refused “${command}”: ${text.trim()}.`);
    return text;
  }

  close(): void {
    this.road.close();
  }
}
