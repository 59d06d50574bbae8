/**
 * What stays beside an inner machine in the guest around it (resources/guest/nest.c), in a real
 * guest. In the inner kernel's place runs a shell of the host, whose folder is the whole host.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { buildTiny } from '../../src-main/images/node/tiny.ts';
import { FrameDecoder, word } from '../../src-main/machine/frames.ts';
import { bootMachine, imageCache, run } from './agent-machine.ts';

/** Lines on console 0 until that takes no more for a while; ends with how many, modulo 50. */
const flood = `: its kernel
  line=$(printf '%04000d' 0); said=0; refused=0
  while [ $refused -lt 60 ]; do
    if echo "$line" >&4; then said=$((said + 1)); refused=0
    else refused=$((refused + 1)); sleep 0.02; fi
  done 2>/dev/null
  exit $((said % 50))`;
const lineBytes = 4001;

test('what an inner machine has said, and its end, wait until they are taken', async (t) => {
  const machine = await bootMachine(t, { image: (await buildTiny({ cache: imageCache })).path });
  const client = await machine.attach();
  const taken = Promise.withResolvers<void>();
  let consoleBytes = 0;
  const others: [channel: number, ...bytes: number[]][] = [];
  const decoder = new FrameDecoder((channel, bytes) => {
    if (channel === 0) consoleBytes += bytes.length;
    else others.push([channel, ...bytes]);
  });
  const session = client.exec({
    argv: ['@nest', 'start', 'flood', '/', '1', '1', '32', '/bin/sh', '-c', flood],
    stdout: (bytes) => taken.promise.then(() => void decoder.take(bytes)),
  });
  for (const word of ['until', 'while']) {
    await run(client, `${word} ps | grep -q '[:] its kernel'; do sleep 0.1; done`);
  }
  taken.resolve();
  assert.deepEqual(await session.exit, { kind: 'exited', code: 0 });
  assert.ok(consoleBytes > 300 * 1024, 'the line between was full');
  assert.equal(consoleBytes % lineBytes, 0);
  assert.deepEqual(others, [[word.end, (consoleBytes / lineBytes) % 50, 0, 0, 0]]);
});
