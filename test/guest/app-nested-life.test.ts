/**
 * Machines inside machines over the end of their server, and by the command line: found again with
 * the machine around them, ten in one, a throw-away one, the tree.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  attach,
  clientOf,
  freshHome,
  nymph,
  run,
  spawnServer,
  started,
  Undo,
  untilRunning,
  untilState,
} from '../support/live.ts';

test('a new server finds an inner machine again, after the one around it', async (t) => {
  const undo = new Undo();
  t.after(() => undo.run());
  const { home, paths } = freshHome(undo);
  const first = await spawnServer(undo, home);
  const client = await clientOf(undo, paths);
  await client.call('network.create', { name: 'lab' });
  const more = { memoryMib: 256, networks: ['lab'] };
  await client.call('machine.create', { name: 'outer', ...more });
  await started(client, 'outer');
  await client.call('machine.create', { name: 'inner', ...more, memoryMib: 64, inside: 'outer' });
  await started(client, 'inner');
  await run(client, 'inner', 'echo still > /run/here');
  first.kill('SIGKILL');
  await new Promise((resolve) => first.once('exit', resolve));

  await spawnServer(undo, home);
  const again = await clientOf(undo, paths);
  await untilRunning(again, 'inner');
  assert.equal((await run(again, 'inner', 'cat /run/here')).stdout, 'still\n');
  const ping = 'for i in $(seq 15); do ping -c 1 -W 2 outer && exit 0; sleep 1; done; exit 1';
  assert.equal((await run(again, 'inner', ping)).code, 0);
  const console = attach(again, 'inner');
  console.type('\n');
  await console.until(/inner login: /);
  console.close();

  await again.call('machine.pause', { machine: 'outer' });
  await untilState(again, 'inner', ['paused']);
  await assert.rejects(again.call('machine.kill', { machine: 'inner' }), /stands still with/);
  await again.call('machine.resume', { machine: 'outer' });
  await untilRunning(again, 'inner');
  assert.equal((await run(again, 'inner', 'cat /run/here')).stdout, 'still\n');
  await again.call('machine.stop', { machine: 'outer', children: true });
  assert.equal((await again.call('machine.get', { machine: 'inner' })).state, 'off');
});

test('ten machines run in one, and the command line shows them under it', async (t) => {
  const undo = new Undo();
  t.after(() => undo.run());
  const { home, paths } = freshHome(undo);
  undo.after(async () => void (await nymph(home, ['quit', '--stop'])));
  const ok = async (words: string[]) => {
    const ran = await nymph(home, words);
    assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  await ok(['create', 'house', '--memory', '1G']);
  await ok(['start', 'house']);
  const names = Array.from({ length: 10 }, (_, number) => `room${number}`);
  for (const name of names) await ok(['create', name, '--in', 'house', '--memory', '48M']);
  const client = await clientOf(undo, paths);
  const start = async (name: string) => {
    const { code, stderr } = await nymph(home, ['start', name]);
    // A loaded host may take them longer than the command waits.
    assert.ok(code === 0 || (code === 124 && /it goes on/.test(stderr)), stderr);
    await untilRunning(client, name);
  };
  await Promise.all(names.map(start));
  const said = await Promise.all(names.map((name) => ok(['exec', name, '--', 'hostname'])));
  assert.deepEqual(said, names.map((name) => `${name}\n`)); // prettier-ignore
  const tree = await ok(['ls', '--tree']);
  assert.match(tree, /^house\trunning[^\n]*\n└ room0\trunning/m);

  const refused = await nymph(home, ['stop', 'house']);
  assert.equal(refused.code, 4);
  assert.match(refused.stderr, /“room0”, “room1”, “room2” and 7 more run inside “house”/);
  assert.equal((await nymph(home, ['run', '--in', 'house', '--', 'sh', '-c', 'exit 7'])).code, 7);
  assert.doesNotMatch(await ok(['ls']), /run-/);
  await ok(['kill', 'house', '--inside']);
  assert.doesNotMatch(await ok(['ls']), /running/);
});
