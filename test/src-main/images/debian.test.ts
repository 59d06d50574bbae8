/** The Debian image as data: sources and progress. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { parseRepositories, sourcesFor, stageOf } from '../../../src-main/images/debian.ts';

const listed = [
  'http://mirror.invalid/debian/|bookworm|main',
  'http://mirror.invalid/debian/|bookworm-updates|main',
  'http://mirror.invalid/security|bookworm-security|main',
  'https://other.invalid/apt|stable|main',
  'nonsense',
  'file:/x|bookworm; rm -rf /|main',
].join('\n');

describe('where the packages come from', () => {
  it('is the machine’s own apt, its own release and nothing else', () => {
    assert.deepEqual(sourcesFor('bookworm', parseRepositories(listed)), [
      'deb http://mirror.invalid/debian/ bookworm main',
      'deb http://mirror.invalid/debian/ bookworm-updates main',
      'deb http://mirror.invalid/security bookworm-security main',
    ]);
  });

  it('is refused when apt does not have that release', () => {
    assert.throws(() => sourcesFor('trixie', parseRepositories(listed)), { code: 'unavailable' });
  });
});

describe('progress', () => {
  it('is read from what mmdebstrap says', () => {
    const stage = stageOf('I: installing essential packages...');
    assert.equal(stage?.step, 'Installing the base system');
    assert.equal(stageOf('Setting up systemd'), undefined);
  });
});
