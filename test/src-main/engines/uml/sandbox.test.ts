/** What a compartment lets in, argument by argument. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { bareEnvironment, sandboxArguments } from '../../../../src-main/engines/uml/sandbox.ts';
import { planOf } from './plan.ts';

/** The paths given to an option that takes a source and a target. */
function bound(words: readonly string[], option: string): [string, string][] {
  return words.flatMap((word, index) =>
    word === option ? [[words[index + 1]!, words[index + 2]!] as [string, string]] : [],
  );
}

suite('the compartment of a machine', () => {
  const words = sandboxArguments(planOf(), 17);

  test('has its own namespaces, no capability, no environment of ours', () => {
    for (const word of ['--unshare-all', '--unshare-user', '--clearenv'])
      assert.ok(words.includes(word));
    assert.equal(words[words.indexOf('--cap-drop') + 1], 'ALL');
    assert.equal(words[words.indexOf('--uid') + 1], '1000');
    assert.ok(!words.includes('--share-net'));
  });

  test('may write its disks, what runs inside it and its run directory only', () => {
    assert.deepEqual(bound(words, '--bind'), [
      ['/machines/web/disks', '/machines/web/disks'],
      ['/machines/web/inside', '/machines/web/inside'],
      ['/run/nymph/0a1b2c3d', '/run/nymph/0a1b2c3d'],
    ]);
  });

  test('may read its folder, its kernel and libraries, its boot disk and the images below', () => {
    assert.deepEqual(bound(words, '--ro-bind'), [
      ['/lib/libc.so.6', '/lib/libc.so.6'],
      ['/machines/web', '/machines/web'],
      ['/kernels/linux', '/kernels/linux'],
      ['/built/boot.cpio', '/built/boot.cpio'],
      ['/images/tiny/disk.raw', '/images/tiny/disk.raw'],
    ]);
  });

  test('sees the libraries that a kernel brought in the place of the host’s', () => {
    const [file, seenAs] = ['/kernels/own/libc.so.6', '/lib/libc.so.6'];
    const own = sandboxArguments(planOf({ kernel: { sharedLibraries: [{ file, seenAs }] } }), 9);
    assert.deepEqual(bound(own, '--ro-bind')[0], [file, seenAs]);
    assert.ok(!bound(own, '--ro-bind').some(([from]) => from === seenAs));
  });

  test('sees nothing else of the host: no other option brings a file in', () => {
    const options = new Set(words.filter((word) => word.startsWith('--')));
    for (const word of [
      '--dev-bind',
      '--bind-try',
      '--ro-bind-try',
      '--symlink',
      '--file',
      '--overlay',
    ]) {
      assert.ok(!options.has(word), word);
    }
    assert.deepEqual(words.slice(-3), ['--info-fd', '17', '--']);
  });

  test('takes a machine’s words as paths, never as options', () => {
    const sly = sandboxArguments(planOf({ name: '--share-net' }), 9);
    assert.ok(!sly.includes('--share-net'));
  });
});

test('a machine without compartment still gets an environment of two words only', () => {
  assert.deepEqual(Object.keys(bareEnvironment(planOf())).sort(), ['HOME', 'TMPDIR']);
});
