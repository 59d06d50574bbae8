/**
 * The two folders made from our own sources: dist/renderer, the window, by vite; and dist/main,
 * this program as plain JavaScript, which Electron and packages run (Electron reads no
 * TypeScript). dist/main keeps the tree of src-main file by file: types are blanked out, nothing
 * is bundled, so workers and children find each other as they do in the checkout.
 */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { Refusal } from '../../base/refusal.ts';
import { runCommand } from './apt.ts';
import { madeStep } from './made.ts';
import { filesUnder, fingerprint } from './sources.ts';
import type { Step } from './steps.ts';

export const root = join(import.meta.dirname, '..', '..', '..');

export function rendererStep(): Step {
  const sources = ['src-renderer', 'src-main/contract', 'src-main/rpc', 'src-main/base'];
  const others = ['resources/icons', 'package-lock.json'];
  const paths = [...sources, ...others].map((path) => join(root, path));
  return madeStep({
    title: 'The window',
    target: join(root, 'dist', 'renderer'),
    fingerprint: () => fingerprint(root, filesUnder(paths, (path) => path.endsWith('.md'))),
    make: async (folder, report, signal) => {
      const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
      const config = join(root, 'src-renderer', 'vite.config.ts');
      const given = [vite, 'build', '--config', config, '--outDir', folder, '--emptyOutDir'];
      const { status, output } = await runCommand(process.execPath, given, {
        signal,
        onLine: (line) => report(undefined, line),
      });
      signal.throwIfAborted();
      if (status !== 0) {
        throw new Refusal('internal', `The window could not be built.\n${output.slice(-4000)}`);
      }
    },
  });
}

/** What of src-main is no part of a package: settings of tools, documents, the set-up itself. */
function stays(path: string): boolean {
  const at = relative(join(root, 'src-main'), path);
  const own = ['shells/setup', 'shells/cli/nymph.mjs'];
  return /(^|\/)(tsconfig[^/]*\.json|README\.md)$|\.d\.ts$/.test(at) || own.includes(at);
}

export function mainStep(): Step {
  const source = join(root, 'src-main');
  const files = () => filesUnder([source], stays);
  return madeStep({
    title: 'The program for Electron',
    target: join(root, 'dist', 'main'),
    fingerprint: () => fingerprint(root, [...files(), import.meta.filename]),
    make: async (folder, report) => {
      const all = files();
      for (const [index, file] of all.entries()) {
        report(index / all.length, relative(root, file));
        emit(source, relative(source, file), folder);
      }
    },
  });
}

/** Writes one file of src-main as Electron can read it. */
function emit(source: string, path: string, folder: string): void {
  const [from, to] = [join(source, path), join(folder, path)];
  mkdirSync(dirname(to), { recursive: true });
  if (!from.endsWith('.ts')) return cpSync(from, to);
  const isPreload = path === 'shells/electron/preload.ts';
  const script = oneDeeper(plainScript(readFileSync(from, 'utf8')), path.split('/').length);
  if (isPreload) writeFileSync(to.replace(/\.ts$/, '.cjs'), commonScript(script));
  else writeFileSync(to.replace(/\.ts$/, '.js'), script);
}

/** Without types, and naming its neighbours as they are called in dist/main. */
export function plainScript(text: string): string {
  return stripTypeScriptTypes(text).replace(
    /(\bfrom\s+|\bimport(?:\s+|\(\s*)|\bnew URL\(\s*|\bmeta\.dirname,\s*)'(\.{1,2}\/[^'\n]+)\.ts'/g,
    "$1'$2.js'",
  );
}

/**
 * dist/main lies one folder deeper than src-main, so a path that climbs out of src-main, to
 * resources/ or package.json, climbs once more.
 * @param climbs how many `../` lead from the file to beside src-main.
 */
export function oneDeeper(script: string, climbs: number): string {
  const out = `((?:\\.\\./){${climbs}})`;
  return script
    .replace(new RegExp(`(import\\.meta\\.dirname,\\s*')${out}`, 'g'), '$1../$2')
    .replace(new RegExp(`(new URL\\(\\s*')${out}`, 'g'), '$1../$2');
}

/** A sandboxed preload must be CommonJS; ours imports Electron and exports nothing. */
export function commonScript(script: string): string {
  const asked = /^import (\{[^}]+\}) from 'electron';$/m;
  const common = script.replace(asked, "const $1 = require('electron');");
  if (/^(import|export)\b/m.test(common)) throw new Error('The preload may only import electron.');
  return common;
}
