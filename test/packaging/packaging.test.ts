/**
 * The packages, checked without making one: the configuration against electron-builder's own
 * schema, the fuses, and the list of files that would be packed, by electron-builder's own
 * matcher over a tree like the real one.
 */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parse } from 'yaml';
import { carriedPackages, copyCarried } from '../../src-main/shells/setup/stage.ts';
import { filesUnder } from '../../src-main/shells/setup/sources.ts';
import { readHouse, root } from '../tidy/house.ts';

const require = createRequire(import.meta.url);
const inBuilder = (path: string) =>
  require(join(root, 'node_modules/app-builder-lib/out', path)) as Record<string, unknown>;

type Config = Record<string, unknown> & {
  files: string[];
  linux: { target: string[]; desktop: { entry: Record<string, string> } };
  electronFuses: Record<string, boolean>;
  fileAssociations: { ext: string }[];
  extraResources: { from: string; to: string }[];
};
const config = parse(readFileSync(join(root, 'electron-builder.yml'), 'utf8')) as Config;
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  main: string;
  dependencies: Record<string, string>;
};

type Validate = (config: unknown, log: { isEnabled: boolean }) => Promise<void>;
const validate = inBuilder('util/config/config.js').validateConfiguration as Validate;

suite('the configuration', () => {
  test('fits electron-builder’s schema', () => validate(config, { isEnabled: false }));

  test('with a key that the schema does not know it would not', async () => {
    await assert.rejects(validate({ ...config, wings: 2 }, { isEnabled: false }), /wings/);
  });

  test('makes AppImage, deb and rpm, and has dmg and NSIS', () => {
    assert.deepEqual(config.linux.target, ['AppImage', 'deb', 'rpm']);
    assert.deepEqual((config.mac as Config['linux']).target, ['dmg']);
    assert.deepEqual((config.win as Config['linux']).target, ['nsis']);
  });

  test('opens .nymph bundles', () => {
    assert.deepEqual(config.fileAssociations.map(({ ext }) => ext), ['nymph']);
    assert.match(config.linux.desktop.entry.MimeType!, /x-nymph-machine/);
  });

  test('takes kernels and images along as extra resources', () => {
    assert.deepEqual(config.extraResources, [{ from: 'dist/resources', to: 'nymph' }]);
  });
});

// Checklist point 8.
test('every fuse is set, and to the safe side', () => {
  assert.deepEqual(config.electronFuses, {
    runAsNode: false,
    enableNodeOptionsEnvironmentVariable: false,
    enableNodeCliInspectArguments: false,
    enableCookieEncryption: false,
    enableEmbeddedAsarIntegrityValidation: true,
    onlyLoadAppFromAsar: true,
    grantFileProtocolExtraPrivileges: false,
  });
  assert.equal(config.asar, true);
});

type Filter = (file: string, stat: { isDirectory(): boolean }) => boolean;
type Matcher = { createFilter(): Filter };
const FileMatcher = inBuilder('fileMatcher.js').FileMatcher as new (
  from: string,
  to: string,
  expand: (pattern: string) => string,
  patterns: string[],
) => Matcher;
const packs = new FileMatcher(root, '/app', (pattern) => pattern, config.files).createFilter();
const isPacked = (path: string) => packs(join(root, path), { isDirectory: () => false });

// Packages have a matcher of their own, which knows the exclusions only.
type OfPackages = (from: string, to: string, expand: (pattern: string) => string, target: object,
  packager: object) => Matcher;
const packager = { config, debugLogger: { isEnabled: false } };
const matcherOfPackages = inBuilder('fileMatcher.js').getNodeModuleFileMatcher as OfPackages;
const packsOfPackages = matcherOfPackages(root, '/app', (pattern) => pattern, {}, packager)
  .createFilter();

suite('the packed files', () => {
  const house = readHouse().map(({ path }) => path);

  test('are none of the sources and none of the tests', () => {
    const leaks = house.filter((path) => /^(src-|test\/|\.)/.test(path)).filter(isPacked);
    assert.deepEqual(leaks, []);
  });

  test('are nothing of a developer’s', () => {
    const kept = ['dist/renderer.stamp', 'dist/resources/kernels/k', 'dist/packages/x.deb'];
    for (const path of [...kept, 'package-lock.json', 'electron-builder.yml', 'README.md']) {
      assert.equal(isPacked(path), false, path);
    }
  });

  test('are the program, the window and the guest’s own files', () => {
    for (const path of ['dist/renderer/index.html', 'dist/renderer/assets/a.js', manifest.main]) {
      assert.ok(isPacked(path), path);
    }
    assert.ok(isPacked('dist/main/shells/electron/preload.cjs'));
    const guest = house.filter((path) => /^resources\/(?!packaging\/).*(?<!\.md)$/.test(path));
    assert.deepEqual(guest.filter((path) => !isPacked(path)), []);
  });

  test('begin where package.json says, in a file that comes from a source', () => {
    const source = manifest.main.replace('dist/main/', 'src-main/').replace(/\.js$/, '.ts');
    assert.ok(existsSync(join(root, source)), source);
  });

  test('have every package that the program imports as a real dependency', () => {
    const used = new Set<string>();
    for (const { path, imports } of readHouse()) {
      if (!path.startsWith('src-main/') || path.startsWith('src-main/shells/setup/')) continue;
      for (const { specifier, path: target } of imports) {
        if (target !== undefined || /^(node:|\.|electron$)/.test(specifier)) continue;
        used.add(specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/'));
      }
    }
    assert.deepEqual([...used].filter((name) => !(name in manifest.dependencies)), []);
  });

  test('hold all that each of those dependencies needs to be loaded', (t) => {
    const places = {
      'the archive': (folder: string) => {
        for (const file of filesUnder(Object.keys(carriedPackages()).map((at) => join(root, at)))) {
          const isPacked = packsOfPackages(file, { isDirectory: () => false });
          if (isPacked) cpSync(file, join(folder, relative(root, file)));
        }
      },
      'beside the archive': (folder: string) => {
        copyCarried(Object.keys(carriedPackages()), folder);
      },
    };
    for (const [place, fill] of Object.entries(places)) {
      const folder = mkdtempSync(join(tmpdir(), 'nymph-packed-'));
      t.after(() => rmSync(folder, { recursive: true, force: true }));
      fill(folder);
      const load = `for (const name of process.argv.slice(1)) require(name)`;
      const names = Object.keys(manifest.dependencies);
      const { status, stderr } = spawnSync(process.execPath, ['-e', load, '--', ...names], {
        cwd: folder,
        encoding: 'utf8',
      });
      assert.equal(status, 0, `${place}: ${stderr}`);
    }
  });

  test('stay small: what is packed of the sources’ own files is under 32 MB', () => {
    let bytes = 0;
    const own = filesUnder([join(root, 'resources')]);
    for (const file of own) if (packs(file, statSync(file))) bytes += statSync(file).size;
    assert.ok(bytes < 32 << 20, `${bytes}`);
  });
});
