/**
 * Rules about who imports whom: the table, the two environments, the packages, files that
 * nobody imports.
 */
import type { Fault, Source } from './house.ts';
import { entries, mainTable, packageTable, rendererTable } from './import-table.ts';

/** The room of src-main a path lies in, such as `engines/uml`; undefined outside. */
export function mainRoom(path: string): string | undefined {
  if (!path.startsWith('src-main/')) return undefined;
  const inside = path.slice('src-main/'.length);
  const rooms = Object.keys(mainTable).filter((room) => inside.startsWith(`${room}/`));
  return rooms.sort((a, b) => b.length - a.length)[0];
}

export function rendererRoom(path: string): string | undefined {
  if (!path.startsWith('src-renderer/')) return undefined;
  const first = path.slice('src-renderer/'.length).split('/')[0]!;
  return first in rendererTable && first !== '' ? first : '';
}

/** A file that may touch Node: in a `node/` folder, or a door (all doors run on Node). */
export function isNode(path: string): boolean {
  return path.includes('/node/') || (path.startsWith('src-main/shells/') && !isSharedPolicy(path));
}

/** Files directly in shells/ are policy that pure and Node code share. */
function isSharedPolicy(path: string): boolean {
  return /^src-main\/shells\/[^/]+\.ts$/.test(path);
}

const isTest = (path: string) => path.startsWith('test/');
const isTool = (path: string) => /\.config\.(ts|js)$/.test(path);

/** Every import between rooms stands in the table. */
export function outsideTable(house: Source[]): Fault[] {
  const faults: Fault[] = [];
  for (const { path, imports } of house) {
    if (isTest(path) || isTool(path)) continue;
    for (const { path: target, line, specifier } of imports) {
      if (target === undefined) continue;
      const say = sayImport(path, target);
      if (say) faults.push(`${path}:${line}: ${say} (${specifier})`);
    }
  }
  return faults;
}

function sayImport(path: string, target: string): string | undefined {
  const from = mainRoom(path);
  const to = mainRoom(target);
  if (from !== undefined) {
    if (from === to) return undefined;
    if (to === undefined) return `${from} imports a file outside src-main's rooms`;
    return mainTable[from]!.includes(to) ? undefined : `${from} may not import ${to}`;
  }
  const room = rendererRoom(path);
  if (room === undefined) return path.startsWith('src-main/') ? 'lies in no room' : undefined;
  if (to !== undefined) {
    if (isNode(target)) return `the renderer may not import Node's half (${to})`;
    return rendererTable[room]!.includes(`main:${to}`)
      ? undefined
      : `renderer ${room || 'root'} may not import ${to}`;
  }
  const toRenderer = rendererRoom(target);
  if (toRenderer === undefined) return `renderer ${room || 'root'} imports from outside`;
  if (toRenderer === room || target.endsWith('.css')) return undefined;
  return rendererTable[room]!.includes(toRenderer)
    ? undefined
    : `renderer ${room || 'root'} may not import ${toRenderer || 'the root'}`;
}

/** A pure file imports neither Node nor a `node/` file. */
export function impure(house: Source[]): Fault[] {
  const faults: Fault[] = [];
  for (const { path, imports, code } of house) {
    if (!path.startsWith('src-main/') || isNode(path) || path.endsWith('.d.ts')) continue;
    for (const { specifier, line, path: target } of imports) {
      if (specifier.startsWith('node:') || (target && isNode(target))) {
        faults.push(`${path}:${line}: a pure file imports ${specifier}`);
      }
    }
    if (/\bprocess\.(env|pid|platform|on)\b|\bBuffer\.(from|alloc)\b/.test(code)) {
      faults.push(`${path}: a pure file uses a global of Node`);
    }
  }
  return faults;
}

/** A package is imported only by the rooms that own it. */
export function foreignPackages(house: Source[]): Fault[] {
  const faults: Fault[] = [];
  for (const { path, imports } of house) {
    const room = mainRoom(path);
    if (room === undefined) continue;
    for (const { specifier, line, path: target } of imports) {
      if (target !== undefined || /^(node:|\.)/.test(specifier)) continue;
      const name = specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/');
      const row = packageTable[name];
      const owned = row?.rooms.some((owner) => room === owner || room.startsWith(`${owner}/`));
      if (!owned) faults.push(`${path}:${line}: ${room} may not import the package ${name}`);
      else if (row!.node && !isNode(path)) {
        faults.push(`${path}:${line}: ${name} is for node/ only`);
      }
    }
  }
  return faults;
}

/** An import names a file that is there; a source file is imported, or a program begins in it. */
export function danglingAndUnimported(house: Source[]): Fault[] {
  const there = new Set(house.map(({ path }) => path));
  const wanted = new Set<string>(entries);
  const faults: Fault[] = [];
  for (const { path, imports } of house) {
    for (const { path: target, line, specifier } of imports) {
      if (target === undefined) continue;
      // A test keeps nobody alive: what only tests import is dead in the product.
      if (!isTest(path)) wanted.add(target);
      if (/\.(ts|svelte)$/.test(target) && !there.has(target)) {
        faults.push(`${path}:${line}: there is no ${specifier}`);
      }
    }
  }
  for (const { path } of house) {
    if (!/^src-(main|renderer)\/.*\.(ts|mjs|svelte)$/.test(path)) continue;
    if (path.endsWith('.d.ts') || wanted.has(path)) continue;
    faults.push(`${path}: nobody imports this file`);
  }
  return faults;
}
