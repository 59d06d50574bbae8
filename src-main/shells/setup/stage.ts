/**
 * What a package carries beside Electron's archive, as `dist/resources`:
 *
 *   staged.json, kernel/, built/   kernels and images with their digests (app/node/staging.ts)
 *   bin/nymph, bin/node            the command line and the Node that it runs on
 *   bin/busybox                    what Tiny Linux is made of
 *   program/                       the same program as in the archive, for that Node
 *   NOTICE                         what is in here of others, and where its source is
 *
 * The program is packed twice on purpose: Electron reads only its archive (fuse
 * OnlyLoadAppFromAsar), and no other program can read that.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gatherForPackage, stageThing, type Gathered } from '../../app/node/staging.ts';
import { stagedFile, stagedSchema, type Staged } from '../../app/node/staged.ts';
import { nymphPaths } from '../../app/node/paths.ts';
import { runCommand } from './apt.ts';
import { root } from './builds.ts';
import { madeStep } from './made.ts';
import type { Report, Step } from './steps.ts';

type Lock = {
  packages: Record<string, { version?: string; license?: string; dev?: true; devOptional?: true }>;
};

/** Made anew each time: its parts are outside of this checkout. */
export function resourcesStep(target = join(root, 'dist', 'resources')): Step {
  return madeStep({
    title: 'Kernels, images and the command line',
    target,
    fingerprint: () => `${process.pid} ${performance.now()}`,
    make: stageResources,
  });
}

/** @param folder made here; it must not exist. dist/main and dist/renderer are there already. */
export async function stageResources(folder: string, report: Report): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const gathered = await gatherForPackage(nymphPaths());
  if (gathered.leftOut) report(undefined, `without the portable engine: ${gathered.leftOut}`);
  const things: Staged['things'] = [];
  for (const thing of gathered.things) {
    report(undefined, thing.about);
    things.push(await stageThing(thing, folder));
  }
  const staged = stagedSchema.parse({ format: 'nymph-staged-1', things });
  writeFileSync(join(folder, stagedFile), `${JSON.stringify(staged, null, 1)}\n`);
  report(undefined, 'the command line');
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  cpSync(join(root, 'node_modules/node/bin/node'), join(bin, 'node'), { dereference: true });
  cpSync(gathered.busybox, join(bin, 'busybox'), { dereference: true });
  cpSync(join(root, 'resources/packaging/nymph.sh'), join(bin, 'nymph'));
  for (const name of ['node', 'busybox', 'nymph']) chmodSync(join(bin, name), 0o755);
  stageProgram(join(folder, 'program'));
  writeFileSync(join(folder, 'NOTICE'), await notice(gathered));
}

function stageProgram(folder: string): void {
  copyCarried(['dist/main', 'dist/renderer', 'resources', 'package.json', 'LICENSE'], folder);
  copyCarried(Object.keys(carriedPackages()), folder);
}

/** Copies files and folders of this checkout without what only a developer reads. */
export function copyCarried(paths: readonly string[], folder: string): void {
  for (const path of paths) {
    cpSync(join(root, path), join(folder, path), { recursive: true, filter: isCarried });
  }
}

/** The packages that the program needs when it runs, on this system, by their place. */
export function carriedPackages(): Lock['packages'] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock;
  const entries = Object.entries(lock.packages).filter(
    ([path, { dev, devOptional }]) =>
      path !== '' && !dev && !devOptional && existsSync(join(root, path)),
  );
  return Object.fromEntries(entries);
}

/** Nothing that only a developer reads; the same as electron-builder.yml says of its archive. */
function isCarried(path: string): boolean {
  const at = relative(root, path);
  if (/\.(md|map|ts|mts|cts|stamp)$/.test(at) || at.startsWith('resources/packaging')) return false;
  if (at.startsWith('resources/screenshots')) return false;
  // The sources of zod and of koffi's native half, among which scripts of koffi's lie.
  if (/node_modules\/(zod\/src|koffi\/(vendor|lib))$/.test(at)) return false;
  if (/node_modules\/koffi\/src\/.*\.(cc|hh|inc|def|S|asm|txt)$/.test(at)) return false;
  return !/node_modules\/(@[^/]+\/)?[^/]+\/(test|tests|doc|docs|example|examples)$/.test(at);
}

async function notice({ things }: Gathered): Promise<string> {
  const asked = ['-W', '-f', '${source:Package} ${source:Version}', 'busybox-static'];
  const { status, output } = await runCommand('dpkg-query', asked);
  const busybox = status === 0 ? output.trim() : 'busybox';
  const kernels = things.filter(({ kind }) => kind === 'kernel').map(({ about }) => about);
  const packages = Object.entries(carriedPackages()).map(
    ([path, { version, license }]) =>
      `  ${path.replace(/^.*node_modules\//, '')} ${version} (${license ?? 'see its folder'})`,
  );
  return [
    'Nymph carries programs of others, unchanged unless said otherwise.',
    '',
    'Linux, GPL-2.0, built from Debian’s source package linux with the small edits that each',
    'kernel.json lists; the recipe is src-main/kernels of Nymph’s own source:',
    ...kernels.map((about) => `  ${about}`),
    '',
    `BusyBox, GPL-2.0, as in Debian’s source package: ${busybox}`,
    'Their sources: `apt-get source` of these names and versions.',
    '',
    `Node.js ${process.versions.node} (MIT and others), and these npm packages:`,
    ...packages,
    '',
  ].join('\n');
}
