/**
 * Tickets for the window: words that let in once, for a minute, and only a program of this user.
 * A program's command line can be read by everybody on this host (`ps`), so the access token is
 * never on one: the window is opened with a ticket, and gets a cookie for it.
 *
 *   const url = await windowUrl(server.url);      // asks that server, ours or another's
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Refusal } from '../../base/refusal.ts';

const lifeMs = 60_000;
const ticketsMax = 64;

export class Tickets {
  private readonly nowMs: () => number;
  /** Until when each is good, oldest first. */
  private readonly endsMs = new Map<string, number>();

  constructor(nowMs: () => number) {
    this.nowMs = nowMs;
  }

  issue(): string {
    const ticket = randomBytes(24).toString('base64url');
    this.endsMs.set(ticket, this.nowMs() + lifeMs);
    if (this.endsMs.size > ticketsMax) this.endsMs.delete(this.endsMs.keys().next().value!);
    return ticket;
  }

  /** True once for each ticket, within its minute. */
  take(ticket: string): boolean {
    const endMs = this.endsMs.get(ticket);
    this.endsMs.delete(ticket);
    return endMs !== undefined && this.nowMs() < endMs;
  }
}

/** The address for a window's command line. @param url a server's, with its token. */
export async function windowUrl(url: string): Promise<string> {
  const { origin, port, searchParams } = new URL(url);
  const answer = await fetch(`${origin}/ticket`, {
    method: 'POST',
    headers: { cookie: `nymph-${port}=${searchParams.get('token')}` },
  });
  const { ticket } = answer.ok ? ((await answer.json()) as { ticket?: string }) : {};
  if (!ticket) throw new Refusal('unavailable', 'The running server lets no window in.');
  return `${origin}/?ticket=${ticket}`;
}

export interface Ends {
  readonly localPort: number;
  readonly remotePort: number;
}

/**
 * Who is at the other end of a loopback connection, by the kernel's table of them.
 * @returns undefined where there is no such table; -1 for nobody in it.
 */
export function peerUid(ends: Ends): number | undefined {
  try {
    return uidIn(readFileSync('/proc/net/tcp', 'latin1'), ends);
  } catch {
    return undefined;
  }
}

/** The owner of the socket that is the far end of ours, in the text of /proc/net/tcp; else -1. */
export function uidIn(table: string, { localPort, remotePort }: Ends): number {
  const hex = (port: number) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const line of table.split('\n')) {
    const [, local, remote, , , , , uid] = line.trim().split(/\s+/);
    if (local === hex(remotePort) && remote === hex(localPort)) return Number(uid);
  }
  return -1;
}
