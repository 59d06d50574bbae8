/** The archive writer, read back by cpio itself. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeCpio, type CpioEntry } from '../../../src-main/base/cpio.ts';

const content = new TextEncoder().encode('hello');
const entries: CpioEntry[] = [
  { kind: 'directory', path: 'dev', mode: 0o755 },
  { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
  { kind: 'file', path: 'init', mode: 0o755, content },
  { kind: 'link', path: 'sh', target: 'init' },
];

describe('a cpio archive', () => {
  it('is what cpio itself reads', () => {
    const input = writeCpio(entries);
    const stdio: ('pipe' | 'ignore')[] = ['pipe', 'pipe', 'ignore'];
    const list = execFileSync('cpio', ['-tv', '--quiet'], { input, stdio });
    const lines = list.toString().trim().split('\n').map((line) => line.replace(/\s+/g, ' '));
    assert.match(lines[0] ?? '', /^drwxr-xr-x .* dev$/);
    assert.match(lines[1] ?? '', /^crw------- .* 5, 1 .* dev\/console$/);
    assert.match(lines[2] ?? '', /^-rwxr-xr-x 1 root root 5 .* init$/);
    assert.match(lines[3] ?? '', /^lrwxrwxrwx .* sh -> init$/);
  });

  it('is the same for the same entries, and each part begins at a multiple of four', () => {
    const first = writeCpio(entries);
    assert.deepEqual(first, writeCpio(entries));
    assert.equal(first.length % 4, 0);
  });

  it('refuses paths that lead out, twice the same, and what comes before its directory', () => {
    const file = (path: string): CpioEntry => ({ kind: 'file', path, mode: 0o644, content });
    for (const path of ['../x', '/x', 'a//b', '.', '', 'a\0b']) {
      assert.throws(() => writeCpio([file(path)]), { code: 'bad-input' });
    }
    assert.throws(() => writeCpio([file('a'), file('a')]), { code: 'bad-input' });
    assert.throws(() => writeCpio([file('a/b')]), { code: 'bad-input' });
    assert.throws(() => writeCpio([file('a'), file('a/b')]), { code: 'bad-input' });
  });
});
