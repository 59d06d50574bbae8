/** Pipes through the command line: whole, in order, and never kept in anybody's memory. */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { launch, started, Undo, type World } from '../support/live.ts';

const program = join(import.meta.dirname, '../../src-main/shells/cli/main.ts');
const mib = 2 ** 20;

suite('a pipe into a machine', () => {
  const undo = new Undo();
  let world: World;

  before(async () => {
    world = await launch(undo);
    await started(world.client, 'tiny');
  });
  after(() => undo.run());

  test('arrives whole', async () => {
    const content = Buffer.alloc(2 * mib, 'nymph\n');
    const child = nymph('sh', '-c', 'sleep 1; sha256sum');
    let said = '';
    child.stdout.on('data', (bytes) => (said += String(bytes)));
    child.stdin.end(content);
    const [code] = await once(child, 'close');
    assert.equal(code, 0);
    assert.equal(said.split(' ')[0], createHash('sha256').update(content).digest('hex'));
  });

  test('waits where it is when the command does not read', async () => {
    const child = nymph('sleep', '4');
    const piece = Buffer.alloc(mib);
    let takenBytes = 0;
    const feed = () => child.stdin.write(piece, (error) => error ?? ((takenBytes += mib), feed()));
    for (let ahead = 0; ahead < 4; ahead += 1) feed();
    await once(child, 'close');
    // Pipes, the credit on either side and the guest's own: far from the gigabytes offered.
    assert.ok(takenBytes < 8 * mib, `${takenBytes} bytes were taken`);
  });

  function nymph(...argv: string[]) {
    const child = spawn(process.execPath, [program, 'exec', 'tiny', '--', ...argv], {
      env: { ...process.env, NYMPH_HOME: world.home },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    undo.after(() => void child.kill('SIGKILL'));
    child.stdin.on('error', () => {});
    return child;
  }
});
