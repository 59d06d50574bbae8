/** Debian for riscv64 as data: which release, from where, and how far its machine is. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  riscvRelease, riscvSources, setupScript, SetupProgress, targetSources, unpackScript,
} from '../../../src-main/images/debian-riscv.ts';

const bookworm = { id: 'debian', idLike: '', codename: 'bookworm' };
const mirror = { uris: ['http://mirror.invalid/debian'], components: ['main', 'contrib'] };
const entries = [
  { ...mirror, suites: ['bookworm', 'bookworm-updates'], signedBy: '/keys.gpg' },
  { uris: ['http://mirror.invalid/sec'], suites: ['bookworm-security'], components: ['main'] },
];

describe('its release', () => {
  it('is the host’s own, or the first that has riscv64', () => {
    assert.equal(riscvRelease({ ...bookworm, codename: 'forky' }), 'forky');
    assert.equal(riscvRelease(bookworm), 'trixie');
  });

  it('comes from the mirrors and keys that the host’s apt has', () => {
    assert.deepEqual(riscvSources(entries, bookworm), [
      {
        uris: mirror.uris, suites: ['trixie', 'trixie-updates'], components: ['main'],
        signedBy: '/keys.gpg',
      },
      { uris: ['http://mirror.invalid/sec'], suites: ['trixie-security'], components: ['main'] },
    ]);
  });

  it('names no file of the host in the new system', () => {
    const text = targetSources(riscvSources(entries, bookworm));
    assert.match(text, /Suites: trixie-security\n/);
    assert.doesNotMatch(text, /keys/);
  });

  it('is nothing where apt has no Debian mirror', () => {
    assert.deepEqual(riscvSources([{ ...mirror, suites: ['stable-x'] }], bookworm), []);
  });
});

describe('its scripts', () => {
  it('are shell, on both sides', () => {
    for (const script of [unpackScript, setupScript]) {
      execFileSync('sh', ['-n'], { input: script });
    }
  });
});

describe('its machine’s progress', () => {
  it('is the share of packages that are configured', () => {
    const progress = new SetupProgress(4);
    assert.equal(progress.take('Setting up libc6:riscv64 (2.41-12) ...'), 0.25);
    assert.equal(progress.take('Setting up the stage'), 0.25);
    for (let n = 0; n < 9; n++) progress.take('Setting up zlib1g (1) ...');
    assert.equal(progress.take(''), 1);
  });
});
