/**
 * Every environment compiles with only what it has: the pure rooms without Node and DOM, the
 * Node half without DOM, the Electron shell against Electron's real types, the components by
 * svelte-check. Build information is kept beside the packages, so a second run is fast.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './house.ts';

const bin = join(root, 'node_modules', '.bin');
const cache = join(root, 'node_modules', '.cache', 'nymph');

async function run(command: string, ...given: string[]): Promise<void> {
  const child = spawn(join(bin, command), given, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => (said += bytes));
  child.stderr.on('data', (bytes: Buffer) => (said += bytes));
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  assert.ok(status === 0, said.slice(0, 8000));
}

/** Type-checks one environment. */
function compile(config: string): Promise<void> {
  const name = config.replace(/[^a-z]+/g, '-');
  const kept = join(cache, `${name}.tsbuildinfo`);
  return run('tsc', '-p', config, '--incremental', '--tsBuildInfoFile', kept, '--pretty', 'false');
}

suite('types', { concurrency: 2 }, () => {
  test('pure rooms have neither Node nor DOM', () => compile('src-main/tsconfig.json'));
  test('the Node half and the tests have no DOM', () => compile('src-main/tsconfig.node.json'));
  test('the Electron shell fits Electron’s types', () =>
    compile('src-main/tsconfig.electron.json'));
  test('the renderer and its components', () =>
    run('svelte-check', '--tsconfig', 'src-renderer/tsconfig.json', '--output', 'human'));
});
