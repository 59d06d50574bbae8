/**
 * The house is as drawn: every import between rooms stands in the import table. Each rule is
 * first shown to catch a tiny bad example, then applied to the whole repository.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { keeps, readHouse, source } from './house.ts';
import {
  danglingAndUnimported,
  foreignPackages,
  impure,
  isNode,
  mainRoom,
  outsideTable,
} from './layers.ts';
import { mainTable, rendererTable } from './import-table.ts';

const house = readHouse();
const one = (path: string, text: string) => [source(path, text)];

suite('rooms', () => {
  test('a path lies in its longest room', () => {
    assert.equal(mainRoom('src-main/engines/uml/node/machine.ts'), 'engines/uml');
    assert.equal(mainRoom('src-main/shells/security.ts'), 'shells');
    assert.equal(mainRoom('src-main/shells/cli/main.ts'), 'shells/cli');
    assert.equal(mainRoom('test/run.ts'), undefined);
  });

  test('doors and node folders are Node, shared policy is not', () => {
    assert.ok(isNode('src-main/disks/node/file.ts'));
    assert.ok(isNode('src-main/shells/headless/main.ts'));
    assert.ok(!isNode('src-main/shells/security.ts'));
    assert.ok(!isNode('src-main/disks/qcow2.ts'));
  });

  test('the table names only rooms, and the engines never know each other', () => {
    for (const [room, may] of Object.entries(mainTable)) {
      for (const other of may) assert.ok(other in mainTable, `${room} → ${other}`);
    }
    for (const may of Object.values(rendererTable)) {
      for (const other of may) {
        assert.ok(other in rendererTable || other.replace('main:', '') in mainTable, other);
      }
    }
    assert.ok(!mainTable['engines/uml']!.includes('engines/riscv'));
    assert.ok(!mainTable['engines/riscv']!.includes('engines/uml'));
  });

  test('the table has no cycle', () => {
    const visit = (room: string, trail: string[]): void => {
      assert.ok(!trail.includes(room), [...trail, room].join(' → '));
      for (const next of mainTable[room]!) visit(next, [...trail, room]);
    };
    for (const room of Object.keys(mainTable)) visit(room, []);
  });
});

suite('every import stands in the table', () => {
  test('a disk that knows a network is caught, type-only or not', () => {
    const bad = one('src-main/disks/a.ts', "import type { X } from '../networks/b.ts';\n");
    assert.deepEqual(outsideTable(bad), [
      'src-main/disks/a.ts:1: disks may not import networks (../networks/b.ts)',
    ]);
  });

  test('a worker named by URL is an import', () => {
    const bad = one('src-main/base/a.ts', "new URL('../app/node/w.ts', import.meta.url);\n");
    assert.equal(outsideTable(bad).length, 1);
  });

  test('a view that reaches past state into the client is caught', () => {
    const text = "<script lang=\"ts\">\n  import { c } from '../client/electron.ts';\n</script>\n";
    assert.deepEqual(outsideTable(one('src-renderer/views/A.svelte', text)), [
      'src-renderer/views/A.svelte:2: renderer views may not import client (../client/electron.ts)',
    ]);
  });

  test('an import in a comment or string is none', () => {
    const text = "// import '../app/a.ts'\nconst a = \"import '../app/a.ts'\";\n";
    assert.deepEqual(outsideTable(one('src-main/base/a.ts', text)), []);
  });

  test('the house keeps it', () => keeps(outsideTable(house)));
});

suite('pure files stay pure', () => {
  test('node: and node/ are caught in a pure file and allowed in node/', () => {
    const text = "import fs from 'node:fs';\nimport { b } from './node/b.ts';\n";
    assert.equal(impure(one('src-main/disks/a.ts', text)).length, 2);
    assert.equal(impure(one('src-main/disks/node/a.ts', text)).length, 0);
  });

  test('a Node global is caught', () => {
    assert.equal(impure(one('src-main/disks/a.ts', 'Buffer.from("a");\n')).length, 1);
  });

  test('the house keeps it', () => keeps(impure(house)));
});

suite('packages have owners', () => {
  test('the portable engine has no package, and electron only the electron shell', () => {
    const text = "import { z } from 'zod';\nimport { app } from 'electron';\n";
    assert.equal(foreignPackages(one('src-main/engines/riscv/a.ts', text)).length, 2);
    assert.equal(foreignPackages(one('src-main/shells/electron/a.ts', text)).length, 0);
    assert.equal(foreignPackages(one('src-main/shells/headless/a.ts', text)).length, 1);
  });

  test('the house keeps it', () => keeps(foreignPackages(house)));
});

suite('nothing dangles', () => {
  test('an import of a missing file and a file nobody imports are caught', () => {
    const bad = one('src-main/base/a.ts', "import { b } from './b.ts';\n");
    assert.deepEqual(danglingAndUnimported(bad), [
      'src-main/base/a.ts:1: there is no ./b.ts',
      'src-main/base/a.ts: nobody imports this file',
    ]);
  });

  test('a test keeps no file alive', () => {
    const bad = [
      source('src-main/base/a.ts', ''),
      source('test/src-main/base/a.test.ts', "import '../../../src-main/base/a.ts';\n"),
    ];
    assert.equal(danglingAndUnimported(bad).length, 1);
  });

  test('the house keeps it', () => keeps(danglingAndUnimported(house)));
});
