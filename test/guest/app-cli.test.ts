/** The command line as people and scripts use it: exit codes, data on standard output only. */
import { after, before, suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { freshHome, nymph, Undo } from '../support/live.ts';

const undo = new Undo();
let home: string;

before(() => {
  home = freshHome(undo).home;
  undo.after(async () => {
    await nymph(home, ['quit', '--stop']);
  });
});
after(() => undo.run());

const say = (...words: string[]) => nymph(home, words);

suite('nymph', () => {
  test('ls starts a server by itself and lists the first machine, tab by tab', async () => {
    const { code, stdout, stderr } = await say('ls');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^tiny\toff\t1\t128 MiB\ttiny\t-\n$/);
  });

  test('several at once find one server, not one each', async () => {
    const all = await Promise.all([
      say('ls', '--json'),
      say('ls', '--json'),
      say('doctor', '--json'),
    ]);
    for (const { stdout } of all) assert.ok(Array.isArray(JSON.parse(stdout)));
  });

  test('prints its help, and refuses wrong words with code 2 and no data', async () => {
    assert.equal((await say('help')).code, 0);
    const wrong = [
      [],
      ['fly'],
      ['start'],
      ['start', 'a', 'b'],
      ['ls', '--colour'],
      ['image'],
      ['run'],
      ['create', 'Web'],
      ['create', 'web', '--memory', 'lots'],
      ['create', 'web', '--engine', 'warp'],
    ];
    for (const words of wrong) {
      const { code, stdout, stderr } = await say(...words);
      assert.equal(code, 2, `${words.join(' ')}: ${stderr}`);
      if (words.length > 0) assert.equal(stdout, '', words.join(' '));
    }
  });

  test('says 3 for what is not there and 4 for what is not possible now', async () => {
    const missing = await say('start', 'nobody');
    assert.deepEqual([missing.code, missing.stdout], [3, '']);
    assert.match(missing.stderr, /^There is no machine “nobody”\.\n$/);
    assert.equal((await say('network', 'connect', 'tiny', 'nowhere')).code, 3);
    assert.equal((await say('stop', 'tiny')).code, 4);
    assert.equal((await say('exec', 'tiny', '--', 'true')).code, 4);
    const json = await say('stop', 'tiny', '--json');
    assert.equal(
      (JSON.parse(json.stdout) as { error: { code: string } }).error.code,
      'wrong-state',
    );
  });

  test('create, start, info, exec and stop: progress apart from data', async () => {
    const made = await say('create', 'web', '--memory', '64M', '--json');
    assert.equal((JSON.parse(made.stdout) as { memoryMib: number }).memoryMib, 64);
    assert.equal((await say('create', 'web')).code, 1);
    const start = await say('start', 'web');
    assert.deepEqual([start.code, start.stdout], [0, ''], start.stderr);
    const info = JSON.parse((await say('info', 'web', '--json')).stdout) as { state: string };
    assert.equal(info.state, 'running');
    const ran = await say('exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 9');
    assert.deepEqual(ran, { code: 9, stdout: 'out\n', stderr: 'err\n' });
    const piped = await nymph(home, ['exec', 'web', '--', 'wc', '-l'], 'a\nb\nc\n');
    assert.equal(piped.stdout.trim(), '3');
    assert.equal((await say('exec', 'web', '--', 'sh', '-c', 'kill -9 $$')).code, 137);
    const whole = JSON.parse((await say('inspect', 'web')).stdout) as Record<string, unknown>;
    assert.deepEqual([whole['name'], whole['state']], ['web', 'running']);
    assert.match(String(whole['config']), /^image: tiny$/m);
    const native = await say('inspect', 'web', '--jit');
    assert.deepEqual([native.code, native.stdout], [1, '']);
    assert.match(native.stderr, /runs natively/);
    const log = await say('console', 'web', '--log');
    assert.match(log.stdout, /web started/);
    assert.deepEqual(await say('kill', 'web'), { code: 0, stdout: '', stderr: '' });
  });

  test('run gives the output and the exit code of its command, and leaves nothing', async () => {
    assert.deepEqual(await say('run', '--', 'sh', '-c', 'exit 7'), {
      code: 7,
      stdout: '',
      stderr: '',
    });
    const { code, stdout } = await nymph(home, ['run', '--memory', '64M', '--', 'cat'], 'through');
    assert.deepEqual([code, stdout], [0, 'through']);
    assert.equal((await say('ls')).stdout.trim().split('\n').length, 2);
  });

  test('rm needs -f for a machine that runs, and recover brings it back', async () => {
    await say('start', 'web');
    assert.equal((await say('rm', 'web')).code, 4);
    assert.equal((await say('rm', '-f', 'web')).code, 0);
    assert.equal((await say('info', 'web')).code, 3);
    assert.equal((await say('recover', 'web')).code, 0);
    assert.equal((await say('info', 'web')).code, 0);
  });

  test('a second server of the same home is told where the first one is', async () => {
    const { code, stderr } = await say('serve');
    assert.equal(code, 1);
    assert.match(stderr, /running already.*http:\/\/127\.0\.0\.1:\d+/s);
  });

  test('quit ends the server and leaves machines running; the next one finds them', async () => {
    await say('start', 'web');
    const before = JSON.parse((await say('info', 'web', '--json')).stdout) as { pid: number };
    assert.equal((await say('quit')).code, 0);
    const after = JSON.parse((await say('info', 'web', '--json')).stdout) as {
      pid: number;
      state: string;
    };
    assert.deepEqual([after.pid, after.state], [before.pid, 'running']);
    assert.equal((await say('quit', '--stop')).code, 0);
    assert.throws(() => process.kill(before.pid, 0), { code: 'ESRCH' });
  });
});
