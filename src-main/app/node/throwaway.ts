/**
 * `nymph run`: a machine for one command. It is made, started, given the command as soon as its
 * root is there, and gone without a trace afterwards, also when the caller goes away midway.
 */
import { randomBytes } from 'node:crypto';
import type { Params } from '../../contract/methods.ts';
import type { Caller } from '../../rpc/server.ts';
import type { App } from './app.ts';
import { throwAwayTag } from './machines.ts';
import { execInGuest } from './streams.ts';

const bootTimeoutMs = 60_000;

export async function runThrowaway(
  app: App,
  wanted: Params<'machine.run'>,
  caller: Caller,
): Promise<{ code: number; signal?: number }> {
  const driver = await app.machines.create({
    name: `run-${randomBytes(3).toString('hex')}`,
    image: wanted.image,
    engine: wanted.engine,
    inside: wanted.inside,
    memoryMib: wanted.memoryMib,
    cpus: wanted.cpus,
    networks: wanted.network === undefined ? [] : [wanted.network],
    diskPaths: [],
    tags: [throwAwayTag],
  });
  try {
    caller.signal.throwIfAborted();
    await driver.start();
    await driver.untilRunning(bootTimeoutMs);
    return await execInGuest(driver, { argv: wanted.argv }, caller);
  } finally {
    await app.machines.discard(driver);
  }
}
