/** Another host: the command line over a real ssh to a real sshd, here on the loopback address. */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { launch, nymph, Undo, type Ran, type World } from '../support/live.ts';

const undo = new Undo();
const folder = mkdtempSync(join(tmpdir(), 'nymph-sshd-'));
const file = (name: string) => join(folder, name);
const kept = process.env['NYMPH_SSH'];
let world: World;
let here: string;

before(async () => {
  undo.after(() => rmSync(folder, { recursive: true, force: true }));
  world = await launch(undo);
  here = file('home');
  for (const key of ['host', 'user', 'stranger']) {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)]);
  }
  const port = await freePort();
  writeFileSync(file('sshd_config'), [
    `Port ${port}`, 'ListenAddress 127.0.0.1', `HostKey ${file('host')}`, 'PidFile none',
    `AuthorizedKeysFile ${file('user.pub')}`, 'StrictModes no', 'UsePAM no',
    'PasswordAuthentication no', `SetEnv NYMPH_HOME=${world.home}`, '',
  ].join('\n'));
  // sshd run by root wants its empty folder, which a service of the system would make.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true });
  const sshd = spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file('sshd_config')], {
    stdio: 'ignore',
  });
  undo.after(() => void sshd.kill());
  writeFileSync(file('ssh_config'), [
    'Host lab', 'HostName 127.0.0.1', `Port ${port}`, `User ${userInfo().username}`,
    `IdentityFile ${file('user')}`, 'IdentitiesOnly yes', 'BatchMode yes',
    'StrictHostKeyChecking yes', `UserKnownHostsFile ${file('known')}`,
    'ConnectionAttempts 20', '',
  ].join('\n'));
  const script = `#!/bin/sh\nexec ssh -F ${file('ssh_config')} "$@"\n`;
  writeFileSync(file('ssh'), script, { mode: 0o755 });
  process.env['NYMPH_SSH'] = file('ssh');
  knows('host', port);
  knownAs = (key) => knows(key, port);
});
after(async () => {
  if (kept === undefined) delete process.env['NYMPH_SSH'];
  else process.env['NYMPH_SSH'] = kept;
  await undo.run();
});

let knownAs: (key: string) => void;

/** Which key we believe that host to have. */
function knows(key: string, port: number): void {
  const [kind, text] = readFileSync(file(`${key}.pub`), 'utf8').split(' ');
  writeFileSync(file('known'), `[127.0.0.1]:${port} ${kind} ${text}\n`);
}

function remote(...words: string[]): Promise<Ran> {
  return nymph(here, ['--host', 'lab', ...words]);
}

test('its machines are listed, started and used as our own are', async () => {
  const { code, stdout, stderr } = await remote('ls');
  assert.deepEqual([code, stdout.split('\t')[0]], [0, 'tiny'], stderr);
  assert.equal((await remote('start', 'tiny')).code, 0);
  const ran = await remote('exec', 'tiny', '--', 'sh', '-c', 'echo from $(hostname); exit 7');
  assert.deepEqual([ran.code, ran.stdout], [7, 'from tiny\n'], ran.stderr);
  assert.equal((await world.client.call('machine.get', { machine: 'tiny' })).state, 'running');
});

test('a host whose key is not the known one is not spoken to', async () => {
  knownAs('stranger');
  const { code, stdout, stderr } = await remote('ls');
  knownAs('host');
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /cannot be reached by ssh: Host key verification failed/);
});

test('what is no host is no option of ssh either', async () => {
  for (const host of ['-oProxyCommand=touch /tmp/x', '', 'a b']) {
    assert.equal((await nymph(here, ['--host', host, 'ls'])).code, 2, host);
  }
});

test('a host without a server says so', async () => {
  rmSync(join(world.paths.data, 'server.lock'));
  const { code, stderr } = await remote('ls');
  assert.equal(code, 1);
  assert.match(stderr, /No Nymph server runs on lab; start one there/);
});

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' ? address!.port : 0));
    });
  });
}
