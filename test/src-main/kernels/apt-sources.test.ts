/** The machine's own apt sources, in both forms, and what is made of them. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  kernelSuites,
  parseRelease,
  parseSources,
  writeSources,
} from '../../../src-main/kernels/apt-sources.ts';

const bookworm = { id: 'debian', idLike: '', codename: 'bookworm' };

const stanzas = `# the main archive
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
# a comment within
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb-src
URIs: http://mirror.example/sources
Suites: bookworm
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
`;

test('stanzas are read with their fields; sources and disabled ones are left out', () => {
  assert.deepEqual(parseSources([{ name: 'debian.sources', text: stanzas }]), [
    {
      uris: ['http://mirror.example/debian'],
      suites: ['bookworm', 'bookworm-updates'],
      components: ['main', 'contrib'],
      signedBy: '/usr/share/keyrings/archive.gpg',
    },
  ]);
});

test('a key block within a stanza is kept line by line', () => {
  const fields = 'Types: deb\nURIs: http://m/debian\nSuites: sid\nComponents: main\n';
  const text = `${fields}Signed-By:\n -----BEGIN\n .\n abc\n`;
  const [source] = parseSources([{ name: 'x.sources', text }]);
  assert.equal(source?.signedBy, '\n -----BEGIN\n .\n abc');
  assert.ok(writeSources([source!]).includes('Signed-By: \n -----BEGIN\n .\n abc\n'));
});

test('one-line entries are read with options and comments', () => {
  const text = [
    'deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://m/debian bookworm main contrib # here',
    '# deb http://off/debian bookworm main',
    'deb-src http://m/debian bookworm main',
    'deb http://plain/debian stable main',
    'deb broken',
  ].join('\n');
  assert.deepEqual(parseSources([{ name: 'sources.list', text }]), [
    {
      uris: ['http://m/debian'],
      suites: ['bookworm'],
      components: ['main', 'contrib'],
      signedBy: '/k.gpg',
      trusted: 'yes',
    },
    { uris: ['http://plain/debian'], suites: ['stable'], components: ['main'] },
  ]);
});

test('only the main archive is asked, in the suites that carry newer kernels', () => {
  const text = [
    'deb http://m/debian bookworm main',
    'deb http://m/debian bookworm-updates main',
    'deb http://m/debian-security bookworm-security main',
    'deb http://vendor/apt nodistro main',
    'deb cdrom:[disc]/ bookworm main',
  ].join('\n');
  const [source, ...rest] = kernelSuites(parseSources([{ name: 'sources.list', text }]), bookworm);
  assert.deepEqual(rest, []);
  assert.deepEqual(source?.uris, ['http://m/debian']);
  assert.deepEqual(source?.components, ['main']);
  assert.ok(source?.suites.includes('sid') && source.suites.includes('bookworm'));
});

test('on Ubuntu the release and its updates are asked and nothing of Debian', () => {
  const text = 'Types: deb\nURIs: http://u/ubuntu\nSuites: noble\nComponents: main universe\n';
  const release = parseRelease('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n');
  const [source] = kernelSuites(parseSources([{ name: 'u.sources', text }]), release);
  assert.deepEqual(source?.suites, ['noble', 'noble-updates']);
});

test('each suite is written as a stanza of its own, so that a missing one harms no other', () => {
  const written = writeSources([{ uris: ['http://m'], suites: ['a', 'b'], components: ['main'] }]);
  assert.deepEqual(
    parseSources([{ name: 'x.sources', text: written }]).map((source) => source.suites),
    [['a'], ['b']],
  );
});

test('the release is read with and without quotes; a rolling one counts as sid', () => {
  assert.deepEqual(parseRelease('ID="debian"\nVERSION_CODENAME=bookworm\n'), bookworm);
  assert.equal(parseRelease('ID=debian\n').codename, 'sid');
});

test('files of any content are read without a failure', () => {
  const texts = ['', '\n\n', ': :\n x', 'deb [', ' continued\n', 'Types\nURIs\n', '\0'.repeat(99)];
  for (const text of texts) {
    for (const name of ['a.sources', 'a.list']) {
      assert.ok(Array.isArray(parseSources([{ name, text }])));
    }
  }
});
