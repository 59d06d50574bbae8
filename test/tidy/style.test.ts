/**
 * One hand: columns, sizes, headers, names, words and documents. Each rule is first shown to
 * catch a tiny bad example, then applied to the whole repository.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keeps, readHouse, root, source } from './house.ts';
import {
  banned,
  documents,
  excess,
  fileNames,
  headers,
  longLines,
  ratchetFaults,
  strangersAtTop,
  type Excess,
} from './style.ts';

const house = readHouse();
const one = (path: string, text: string) => [source(path, text)];

suite('columns', () => {
  test('a line of 101 columns is caught, one of 100 is not', () => {
    assert.equal(longLines(one('src-main/a.ts', 'x'.repeat(101))).length, 1);
    assert.equal(longLines(one('src-main/a.ts', 'x'.repeat(100))).length, 0);
  });

  test('columns are characters, not code units', () => {
    assert.equal(longLines(one('src-main/a.ts', '😀'.repeat(100))).length, 0);
  });

  test('the house keeps it', () => keeps(longLines(house)));
});

suite('sizes', () => {
  const body = '  f();\n'.repeat(70);

  test('a function of 72 lines and a file of 501 are caught', () => {
    const long = one('src-main/a.ts', `function g() {\n${body}}\n${'\n'.repeat(429)}`);
    assert.deepEqual(excess(long), { 'src-main/a.ts': 501, 'src-main/a.ts#g': 72 });
  });

  test('methods and arrow functions are functions, the callback of a suite is not', () => {
    const method = one('src-main/a.ts', `class A {\n  m() {\n${body}  }\n}\n`);
    assert.deepEqual(excess(method), { 'src-main/a.ts#A.m': 72 });
    const arrow = one('src-main/a.ts', `const h = () => {\n${body}};\n`);
    assert.deepEqual(excess(arrow), { 'src-main/a.ts#h': 72 });
    const chapter = one('test/a.test.ts', `suite('x', () => {\n${body}});\n`);
    assert.deepEqual(excess(chapter), {});
  });

  test('the ratchet lets excess shrink and never grow', () => {
    assert.equal(ratchetFaults({ a: 600 }, {}).length, 1);
    assert.equal(ratchetFaults({ a: 600 }, { a: 599 }).length, 1);
    assert.equal(ratchetFaults({ a: 600 }, { a: 600 }).length, 0);
    assert.equal(ratchetFaults({ a: 600 }, { a: 601 }).length, 1);
    assert.equal(ratchetFaults({}, { a: 601 }).length, 1);
  });

  test('the house keeps it', () => {
    const allowed: Excess = JSON.parse(readFileSync(join(root, 'test/tidy/ratchet.json'), 'utf8'));
    keeps(ratchetFaults(excess(house), allowed));
  });
});

suite('headers', () => {
  test('a module without one, or with a long one, is caught', () => {
    assert.equal(headers(one('src-main/a.ts', 'export {};\n')).length, 1);
    assert.equal(headers(one('src-main/a.ts', `/**\n${' * x\n'.repeat(20)} */\n`)).length, 1);
    assert.equal(headers(one('src-main/a.mjs', '#!/usr/bin/env node\n/** x */\n')).length, 0);
  });

  test('the house keeps it', () => keeps(headers(house)));
});

suite('file names', () => {
  test('modules are kebab-case, components PascalCase', () => {
    assert.equal(fileNames(one('src-main/aB.ts', '')).length, 1);
    assert.equal(fileNames(one('src-main/Bad/a.ts', '')).length, 1);
    assert.equal(fileNames(one('src-renderer/ui/button.svelte', '')).length, 1);
    assert.equal(fileNames(one('src-renderer/ui/Button.svelte', '')).length, 0);
    assert.equal(fileNames(one('src-renderer/state/machines.svelte.ts', '')).length, 0);
  });

  test('the house keeps it', () => keeps(fileNames(house)));
});

suite('banned words', () => {
  test('clocks and dice are caught in pure files only', () => {
    const text = 'const now = Date.now() + Math.random();\n';
    assert.equal(banned(one('src-main/disks/a.ts', text)).length, 2);
    assert.equal(banned(one('src-main/disks/node/a.ts', text)).length, 0);
    assert.equal(banned(one('src-main/disks/a.ts', '// Date.now\n')).length, 0);
  });

  test('what is left to do, hosts of packages and empty names are caught', () => {
    assert.equal(banned(one('src-main/a.ts', `// ${'TO' + 'DO'}: later\n`)).length, 1);
    const fetching = `fetch('https://registry.npmjs.${'org'}');\n`;
    assert.equal(banned(one('src-main/a.ts', fetching)).length, 1);
    assert.equal(banned(one('README.md', 'see /work/shared/x\n')).length, 1);
    assert.equal(banned(one('src-main/a.ts', 'class DiskManager {}\n')).length, 1);
    assert.equal(banned(one('src-main/a.ts', 'interface IDisk {}\n')).length, 1);
    assert.equal(banned(one('test/a.test.ts', "test.only('x', f);\n")).length, 1);
  });

  test('the house keeps it', () => keeps(banned(house)));
});

suite('documents', () => {
  test('one title, at the top; a comment in a code block is no title', () => {
    assert.equal(documents(one('a/README.md', '# A\n\n```\n# not a title\n```\n')).length, 0);
    assert.equal(documents(one('a/README.md', '# A\n\n# B\n')).length, 1);
    assert.equal(documents(one('a/README.md', 'A\n')).length, 2);
    assert.equal(documents(one('a/README.md', `# A\n${'\n'.repeat(60)}`)).length, 1);
  });

  test('the house keeps it', () => keeps(documents(house)));
});

suite('the top of the repository', () => {
  test('a stranger is caught', () => assert.equal(strangersAtTop(['docs', 'test']).length, 1));

  test('the house keeps it', () => {
    const listed = execFileSync(
      'git',
      ['-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
      { cwd: root, encoding: 'utf8', maxBuffer: 64 << 20 },
    );
    const names = new Set(listed.split('\0').filter(Boolean).map((path) => path.split('/')[0]!));
    keeps(strangersAtTop([...names]));
  });
});
