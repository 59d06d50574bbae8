/** Two servers started at once on one home, twenty times: one serves, the other finds it. */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Paths } from '../../src-main/app/node/paths.ts';
import { holderOf } from '../../src-main/shells/headless/home-lock.ts';
import { clientOf, freshHome, nymph, Undo } from '../support/live.ts';

const rounds = 20;
const program = join(import.meta.dirname, '../../src-main/shells/headless/main.ts');

suite('two servers at once', () => {
  const undo = new Undo();
  let home: string;
  let paths: Paths;

  before(() => {
    ({ home, paths } = freshHome(undo));
  });
  after(() => undo.run());

  test('one of two becomes the server, and both say when it answers', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const [one, other] = [serve(home), serve(home)];
      await Promise.all([one.ready, other.ready]);
      const loser = await Promise.race([one.ended, other.ended]);
      assert.equal(loser.exitCode, 0, one.said() + other.said());
      const winner = loser === one.child ? other.child : one.child;
      assert.equal(holderOf(paths)?.pid, winner.pid);
      const client = await clientOf(undo, paths);
      assert.equal((await client.call('host.info', {})).pid, winner.pid);
      client.close();
      // Killed half of the times: what it leaves must not keep the next two away.
      winner.kill(round % 2 ? 'SIGKILL' : 'SIGTERM');
      await once(winner, 'exit');
    }
  });

  test('two commands on a home without a server share the one that they start', async () => {
    const both = await Promise.all([nymph(home, ['ls', '--json']), nymph(home, ['ls', '--json'])]);
    for (const { code, stderr } of both) assert.equal(code, 0, stderr);
    assert.equal(both[0].stdout, both[1].stdout);
    assert.equal((await nymph(home, ['quit'])).code, 0);
  });

  test('a server with a port is told who holds the home', async () => {
    const first = serve(home);
    await first.ready;
    const second = serve(home, ['--port', '0']);
    const { exitCode } = await second.ended;
    assert.equal(exitCode, 1);
    assert.match(second.said(), new RegExp(`running already as process ${first.child.pid}\\.`));
    first.child.kill('SIGTERM');
    await first.ended;
  });

  function serve(NYMPH_HOME: string, words = ['--quiet']) {
    const child = spawn(process.execPath, [program, ...words], {
      env: { ...process.env, NYMPH_HOME },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    undo.after(() => void child.kill('SIGKILL'));
    let said = '';
    child.stderr.on('data', (bytes) => (said += String(bytes)));
    const ended = once(child, 'exit').then((): ChildProcess => child);
    const ready = Promise.race([once(child.stdout, 'data'), ended]);
    return { child, ready, ended, said: () => said };
  }
});
