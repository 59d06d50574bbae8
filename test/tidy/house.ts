/**
 * Reads the whole repository once and offers it to the rules: every file of ours with its text,
 * its code (comments and strings blanked, line by line in place) and its imports.
 *
 * A rule is a pure function over `Source[]` that returns faults; so each can be tried on a tiny
 * bad example, made by `source()`, as well as on the house itself.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

export type Import = {
  /** As written. */
  specifier: string;
  line: number;
  /** Repository path of the file meant; absent for packages and `node:` modules. */
  path?: string;
};

export type Source = {
  /** From the top of the repository, with slashes. */
  path: string;
  text: string;
  /** The text with comments and the insides of strings replaced by blanks; code files only. */
  code: string;
  imports: Import[];
};

/** What a rule found, as one line `path:line: sentence`. */
export type Fault = string;

const unread = new Set(['node_modules', 'dist', '.git']);
const textFile = /\.(ts|mjs|js|svelte|json|ya?ml|md|css|html|sh|c|S|svg|desktop|xml)$/;
const filesMax = 20_000;

export function readHouse(top = root): Source[] {
  const paths: string[] = [];
  const walk = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (unread.has(entry.name)) continue;
      const path = join(folder, entry.name);
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile()) paths.push(path);
      if (paths.length > filesMax) throw new Error('The repository holds too many files.');
    }
  };
  walk(top);
  return paths
    .filter((path) => textFile.test(path) || relative(top, path).startsWith('.ci'))
    .map((path) => source(relative(top, path), readFileSync(path, 'utf8')));
}

export function source(path: string, text: string): Source {
  const script = path.endsWith('.svelte') ? scriptOf(text) : text;
  const isCode = /\.(ts|mjs|js|svelte)$/.test(path);
  return {
    path,
    text,
    code: isCode ? blanked(script) : '',
    imports: isCode ? importsOf(path, script) : [],
  };
}

/** The `<script>` parts of a component, at their own lines. */
function scriptOf(text: string): string {
  let script = '';
  let at = 0;
  for (const found of text.matchAll(/<script\b[^>]*>([\s\S]*?)<\/script>/g)) {
    const start = found.index + found[0].indexOf('>') + 1;
    script += text.slice(at, start).replace(/[^\n]/g, ' ') + found[1]!;
    at = start + found[1]!.length;
  }
  return script;
}

/** Comments, and what stands between quotes, as blanks; lines and columns stay. */
export function blanked(code: string): string {
  const blank = (found: string) => found.replace(/[^\n]/g, ' ');
  // One alternative per kind of token, so that a quote in a comment does not open a string. A
  // template's text stays: it may hold code.
  const tokens =
    /\/\*[\s\S]*?\*\/|(?<!:)\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return code.replace(tokens, (found) => {
    if (found.startsWith('`')) return found;
    if (found.startsWith('/')) return blank(found);
    return found[0]! + blank(found.slice(1, -1)) + found.at(-1)!;
  });
}

function importsOf(path: string, script: string): Import[] {
  const found: Import[] = [];
  const seen = ts.preProcessFile(script, true, true);
  for (const { fileName, pos } of seen.importedFiles) {
    found.push(resolved(path, fileName, lineAt(script, pos)));
  }
  // A worker or a child program is named by URL or path; for the house that is an import too.
  const byUrl =
    /(?:new URL\(|import\.meta\.resolve\(|\bmeta\.dirname,)\s*'(\.{1,2}\/[^']+\.m?ts)'/g;
  const code = blanked(script);
  for (const match of script.matchAll(byUrl)) {
    if (code[match.index] === ' ') continue;
    found.push(resolved(path, match[1]!, lineAt(script, match.index)));
  }
  return found;
}

function resolved(from: string, specifier: string, line: number): Import {
  const bare = specifier.replace(/\?.*$/, '');
  if (bare.startsWith('.')) {
    const path = normalize(join(dirname(from), bare));
    // A program of npm's, named by its path, is a package too.
    return path.startsWith('node_modules/') ? { specifier, line } : { specifier, line, path };
  }
  const alias = /^@(contract|rpc|base)\/(.+)$/.exec(bare);
  if (alias) return { specifier, line, path: `src-main/${alias[1]}/${alias[2]}` };
  return { specifier, line };
}

export function lineAt(text: string, position: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < position; at = text.indexOf('\n', at + 1)) {
    line++;
  }
  return line;
}

/** Fails with the faults one below the other; more than anybody reads at once are counted. */
export function keeps(faults: readonly Fault[]): void {
  const shown = faults.slice(0, 60);
  const rest = faults.length - shown.length;
  if (rest > 0) shown.push(`and ${rest} more`);
  assert.ok(faults.length === 0, `${faults.length} faults\n${shown.join('\n')}`);
}

/** One fault for each match of a pattern. */
export function matches(path: string, text: string, pattern: RegExp, say: string): Fault[] {
  return [...text.matchAll(pattern)].map(
    (found) => `${path}:${lineAt(text, found.index)}: ${say.replace('$&', found[0].trim())}`,
  );
}
