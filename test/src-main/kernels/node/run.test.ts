/** The host's programs are run so that none outlives its call. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { programEnvironment, runProgram } from '../../../../src-main/kernels/node/run.ts';
import { identify } from '../../../../src-main/base/node/process.ts';

test('standard output is returned and every line is told', async () => {
  const lines: string[] = [];
  const output = await runProgram(['sh', '-c', 'echo one; echo two >&2'], {
    onLine: (line) => lines.push(line),
  });
  assert.equal(output, 'one\n');
  assert.deepEqual(lines.sort(), ['one', 'two']);
});

test('a failure says what the program said, and accepted codes are none', async () => {
  const argv = ['sh', '-c', 'echo "x.c:1: error: no such thing" >&2; exit 2'];
  await assert.rejects(runProgram(argv, {}), { code: 'internal', message: /no such thing/ });
  await runProgram(argv, { accept: [2] });
});

test('a program that is not there is refused by name', async () => {
  await assert.rejects(runProgram(['no-such-program'], {}), {
    code: 'unavailable',
    message: /no-such-program is not installed/,
  });
});

test('a cancel ends the whole group', async () => {
  const controller = new AbortController();
  let inner = 0;
  const run = runProgram(['sh', '-c', 'sleep 1000 & echo $!; wait'], {
    signal: controller.signal,
    onLine: (line) => {
      inner = Number(line);
      controller.abort();
    },
  });
  await assert.rejects(run, { code: 'cancelled' });
  assert.ok(inner > 0 && identify(inner) === undefined);
});

test('variables of the builder that would change a build are not handed on', () => {
  const { SSL_CERT_DIR } = process.env;
  Object.assign(process.env, { MAKEFLAGS: '-n', SSL_CERT_DIR: '/own/authorities' });
  try {
    const environment = programEnvironment({ A: 'b' });
    assert.equal(environment.MAKEFLAGS, undefined);
    assert.equal(environment.A, 'b');
    assert.equal(environment.PATH, process.env.PATH);
    assert.equal(environment.SSL_CERT_DIR, '/own/authorities', 'whom to trust on the way out');
  } finally {
    delete process.env.MAKEFLAGS;
    delete process.env.SSL_CERT_DIR;
    if (SSL_CERT_DIR !== undefined) process.env.SSL_CERT_DIR = SSL_CERT_DIR;
  }
});
