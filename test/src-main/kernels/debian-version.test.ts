/** Versions in the order of deb-version(7), and the newest source that apt offers. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  compareVersions,
  newestVersion,
  parseOffers,
} from '../../../src-main/kernels/debian-version.ts';

test('versions stand in the order that dpkg gives them', () => {
  const ordered = [
    '6.1.176-1',
    '6.12~rc1-1~exp1',
    '6.12-1',
    '6.12.9-1~bpo12+1',
    '6.12.9-1',
    '6.12.9-1+b1',
    '6.12.10-1',
    '7.2.13-1~bpo13+1',
    '7.2.13-1',
    '7.2.13-10',
    '7.2.13a-1',
    '1:1.0-1',
  ];
  for (let i = 0; i < ordered.length; i += 1) {
    for (let j = 0; j < ordered.length; j += 1) {
      const order = Math.sign(compareVersions(ordered[i]!, ordered[j]!));
      assert.equal(order, Math.sign(i - j), `${ordered[i]} and ${ordered[j]}`);
    }
  }
});

test('offers are read newest first, whatever the order and the suites', () => {
  const madison = [
    'linux-source-6.1 | 6.1.176-1 | http://m/debian bookworm/main amd64 Packages',
    'linux-source-7.2 | 7.2.13-1 | http://m/debian sid/main amd64 Packages',
    'linux-source-7.2 | 7.2.12-1~bpo13+1 | http://m/debian trixie-backports/main amd64 Packages',
    'linux-source | 7.9 | http://m/debian sid/main amd64 Packages',
    'linux-source-9.9 | $(rm) | http://m/debian sid/main amd64 Packages',
    '',
  ].join('\n');
  assert.deepEqual(parseOffers(madison), [
    { package: 'linux-source-7.2', version: '7.2.13-1' },
    { package: 'linux-source-7.2', version: '7.2.12-1~bpo13+1' },
    { package: 'linux-source-6.1', version: '6.1.176-1' },
  ]);
});

test('the newest version of one package, which must look like one', () => {
  const madison = [
    ' user-mode-linux |   6.1um4+b13 | http://m/debian bookworm/main amd64 Packages',
    ' user-mode-linux |       7.2um1 | http://m/debian sid/main amd64 Packages',
    ' user-mode-linux | --option=9.9 | http://m/debian sid/main amd64 Packages',
    'user-mode-linux-doc | 20.1 | http://m/debian sid/main amd64 Packages',
  ].join('\n');
  assert.equal(newestVersion(madison, 'user-mode-linux'), '7.2um1');
  assert.equal(newestVersion(madison, 'libc6'), undefined);
});
