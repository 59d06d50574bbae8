/** What an engine needs, made before the first test that uses it: at once when it is there. */
import assert from 'node:assert/strict';
import type { EngineName } from '../../src-main/contract/machine.ts';
import type { Client } from '../../src-main/rpc/client.ts';

export async function kernelsStep(client: Client, engine: EngineName): Promise<void> {
  const job = await client.call('engine.prepare', { engine });
  if (job === null) return;
  const ended = await client.call('job.wait', { job: job.id });
  assert.equal(ended.state, 'done', ended.error);
}
