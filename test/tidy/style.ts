/**
 * Rules about the hand: columns, sizes (with a ratchet), headers, names, banned words, documents.
 */
import ts from 'typescript';
import { lineAt, matches, type Fault, type Source } from './house.ts';
import { isNode } from './layers.ts';
import { topLevel } from './import-table.ts';

export const columnsMax = 100;
export const functionLinesMax = 70;
export const fileLinesMax = 500;
export const componentLinesMax = 300;
export const headerLinesMax = 15;
export const readmeLinesMax = 60;

const isOurs = (path: string) => /^(src-main|src-renderer|test)\//.test(path);
const isCode = (path: string) => /\.(ts|mjs|js)$/.test(path) && !path.endsWith('.d.ts');
/** The rules' own texts name what they ban. */
const isRule = (path: string) => path.startsWith('test/tidy/');

export function longLines(house: Source[]): Fault[] {
  return house
    .filter(({ path }) => isOurs(path) && /\.(ts|mjs|js|svelte|css|md|c|sh)$/.test(path))
    .flatMap(({ path, text }) =>
      text.split('\n').flatMap((line, index) => {
        // A link or a table row of a document cannot be broken.
        const excused = path.endsWith('.md') && /^\s*\||https?:\/\//.test(line);
        const length = [...line].length;
        return length > columnsMax && !excused ? [`${path}:${index + 1}: ${length} columns`] : [];
      }),
    );
}

const fileLimit = (path: string) => (path.endsWith('.svelte') ? componentLinesMax : fileLinesMax);

/** Lines of what is too long: `path` for a file, `path#name` for a function. */
export type Excess = Record<string, number>;

export function excess(house: Source[]): Excess {
  const found: Excess = {};
  for (const { path, text } of house) {
    if (!isOurs(path) || (!isCode(path) && !path.endsWith('.svelte'))) continue;
    const lines = text.split('\n').length - 1;
    if (lines > fileLimit(path)) found[path] = lines;
    if (!isCode(path) || lines <= functionLinesMax) continue;
    for (const { name, length } of longFunctions(path, text)) {
      const key = `${path}#${name}`;
      found[key] = Math.max(found[key] ?? 0, length);
    }
  }
  return found;
}

function longFunctions(path: string, text: string): { name: string; length: number }[] {
  const found: { name: string; length: number }[] = [];
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, false);
  const visit = (node: ts.Node, named: string) => {
    let name = named;
    if (ts.isVariableDeclaration(node) || ts.isPropertyAssignment(node) || ts.isClassLike(node)) {
      name = node.name && ts.isIdentifier(node.name) ? node.name.text : named;
    }
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      const own = node.name && 'text' in node.name ? String(node.name.text) : undefined;
      if (own) name = ts.isMethodDeclaration(node) && named ? `${named}.${own}` : own;
      const start = node.getStart(file);
      const length = lineAt(text, node.end) - lineAt(text, start) + 1;
      // The callback of a suite is a chapter, not a function.
      const chapter = path.startsWith('test/') && !own && !name;
      if (length > functionLinesMax && !chapter) found.push({ name: name || 'callback', length });
    }
    ts.forEachChild(node, (child) => visit(child, name));
  };
  visit(file, '');
  return found;
}

/** New excess, grown excess, and excess that has shrunk or gone and must leave the list. */
export function ratchetFaults(found: Excess, allowed: Excess): Fault[] {
  const faults: Fault[] = [];
  for (const [key, lines] of Object.entries(found)) {
    const before = allowed[key];
    const most = key.includes('#') ? functionLinesMax : fileLimit(key);
    if (before === undefined) faults.push(`${key}: ${lines} lines, at most ${most}`);
    else if (lines > before) faults.push(`${key}: grew from ${before} to ${lines} lines`);
  }
  for (const [key, before] of Object.entries(allowed)) {
    const now = found[key] ?? 0;
    if (now < before) {
      faults.push(`${key}: shrank from ${before}; lower it in ratchet.json (now ${now || 'gone'})`);
    }
  }
  return faults;
}

export function headers(house: Source[]): Fault[] {
  return house.flatMap(({ path, text }) => {
    if (!isOurs(path) || !isCode(path)) return [];
    const body = text.replace(/^#!.*\n/, '');
    const header = /^(\/\*\*[^]*?\*\/|(\/\/[^\n]*\n)+)/.exec(body)?.[0];
    if (header === undefined) return [`${path}:1: no header comment says what this is`];
    const lines = header.split('\n').length;
    return lines > headerLinesMax + 2 ? [`${path}:1: the header has ${lines} lines`] : [];
  });
}

const kebab = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const pascal = /^[A-Z][A-Za-z0-9]*$/;

export function fileNames(house: Source[]): Fault[] {
  return house.flatMap(({ path }) => {
    if (!isOurs(path)) return [];
    const parts = path.split('/');
    const file = parts.pop()!;
    const faults = parts
      .filter((folder) => !kebab.test(folder))
      .map((folder) => `${path}: the folder ${folder} is not in kebab-case`);
    const stem = file.replace(/\..*$/, '');
    const right = file.endsWith('.svelte') ? pascal : kebab;
    const known = /^(README\.md|tsconfig[.a-z]*\.json|\.gitkeep)$/.test(file);
    if (/\.(ts|mjs|js|svelte|c|sh)$/.test(file) && !known && !right.test(stem)) {
      faults.push(`${path}: a ${right === pascal ? 'component' : 'module'} is not named so`);
    }
    return faults;
  });
}

export function banned(house: Source[]): Fault[] {
  const faults: Fault[] = [];
  const unfinished = anyOf('\\bTO' + 'DO\\b', '\\bFIX' + 'ME\\b', '\\bXX' + 'X\\b');
  const hosts = anyOf(
    'registry\\.npmjs|npmjs\\.(org|com)|pypi\\.org|\\bcrates\\.io|proxy\\.golang',
    '(deb|security|ftp)\\.debian\\.org|archive\\.ubuntu',
  );
  const workplace = anyOf(
    '(?<![\\w.])/work/(main|shared|\\.)|/\\.library\\b',
    'shared/(design|experiments)|\\bsub-?agents?\\b',
  );
  for (const { path, text, code } of house) {
    if (isRule(path) || path === 'package-lock.json') continue;
    faults.push(...matches(path, text, unfinished, 'finish it or file it: $&'));
    faults.push(...matches(path, text, hosts, 'a host of packages by name: $&'));
    faults.push(...matches(path, text, workplace, 'a word of the workplace: $&'));
    if (!isOurs(path)) continue;
    const clock = /\b(Date\.now|Math\.random|performance\.now)\b|\bnew Date\(\)/g;
    if (path.startsWith('src-main/') && !isNode(path)) {
      faults.push(...matches(path, code, clock, 'pass time and chance in: $&'));
    }
    faults.push(...matches(path, code, /\bdebugger\b|\b(test|suite|describe|it)\.only\b/g, '$&'));
    faults.push(...matches(path, code, /@ts-(ignore|nocheck)/g, 'no $&'));
    const empty = /\b(class|interface)\s+(I[A-Z]\w+|\w+(Manager|Service|Helper|Util|Utils))\b/g;
    faults.push(...matches(path, code, empty, 'a name that says nothing: $&'));
  }
  return faults;
}

function anyOf(...patterns: string[]): RegExp {
  return new RegExp(patterns.join('|'), 'g');
}

export function documents(house: Source[]): Fault[] {
  return house.flatMap(({ path, text }) => {
    if (!path.endsWith('.md')) return [];
    const prose = text.replace(/^```[\s\S]*?^```/gm, (found) => found.replace(/[^\n]/g, ''));
    const titles = prose.match(/^# .+$/gm) ?? [];
    const faults: Fault[] = [];
    if (titles.length !== 1) faults.push(`${path}: ${titles.length} titles instead of one`);
    if (!text.startsWith('# ')) faults.push(`${path}:1: the title comes first`);
    const lines = text.split('\n').length - 1;
    if (path !== 'README.md' && path.endsWith('README.md') && lines > readmeLinesMax) {
      faults.push(`${path}: ${lines} lines, at most ${readmeLinesMax}`);
    }
    return faults;
  });
}

export function strangersAtTop(names: readonly string[]): Fault[] {
  return names
    .filter((name) => !topLevel.includes(name))
    .map((name) => `${name}: does not belong at the top of the repository`);
}
