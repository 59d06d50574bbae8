/**
 * The app window on Chromium: which program is taken, and with what words it is started.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromiumArguments, findChromium } from '../../../../src-main/shells/window/chromium.ts';

const window = { url: 'http://127.0.0.1:1/?ticket=t', profile: '/s/chromium', isRoot: false };

test('it is an app window with a profile of its own', () => {
  const words = chromiumArguments(window);
  assert.ok(words.includes('--app=http://127.0.0.1:1/?ticket=t'));
  assert.ok(words.includes('--user-data-dir=/s/chromium'));
  assert.ok(!words.some((word) => word.startsWith('--remote-debugging')));
});

test('only root goes without Chromium’s sandbox', () => {
  assert.ok(!chromiumArguments(window).includes('--no-sandbox'));
  assert.ok(chromiumArguments({ ...window, isRoot: true }).includes('--no-sandbox'));
});

test('the first program on the path that can be run is taken', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nymph-chromium-'));
  t.after(() => rmSync(folder, { recursive: true }));
  assert.equal(findChromium(folder), undefined);
  writeFileSync(join(folder, 'chromium'), '');
  chmodSync(join(folder, 'chromium'), 0o644);
  writeFileSync(join(folder, 'google-chrome'), '');
  chmodSync(join(folder, 'google-chrome'), 0o755);
  assert.equal(findChromium(`/nowhere:${folder}`), join(folder, 'google-chrome'));
});
