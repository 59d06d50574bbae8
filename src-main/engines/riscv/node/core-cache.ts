/**
 * The compiled processor, kept beside what Node keeps of our sources (`code-cache.ts`): compiling
 * it is a third of what a machine's process does before its guest runs. Written by `warm.ts`, only
 * read by machines; it is named after all that it is made of, so that a stale one is not found.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import { writeFileAtomic } from '../../../base/node/files.ts';
import { compileCore } from '../cpu/core.ts';
import type { Compiled } from '../wasm/compile.ts';

/** The processor: from the cache that this process was started with, where it is there. */
export function keptCore(): Compiled {
  const path = keptPath();
  if (path === undefined) return compileCore();
  try {
    return deserialize(readFileSync(path)) as Compiled;
  } catch {
    return compileCore();
  }
}

/** Compiles and keeps it. */
export async function keepCore(): Promise<void> {
  const path = keptPath();
  if (path !== undefined) await writeFileAtomic(path, serialize(compileCore()));
}

/** Undefined for a process without a cache. */
function keptPath(): string | undefined {
  const directory = process.env['NODE_COMPILE_CACHE'];
  if (!directory) return undefined;
  const engine = join(import.meta.dirname, '..');
  const hash = createHash('sha256');
  for (const name of readdirSync(engine).sort()) {
    if (name.startsWith('layout.')) hash.update(readFileSync(join(engine, name)));
  }
  for (const room of ['cpu', 'wasm']) {
    for (const name of readdirSync(join(engine, room)).sort()) {
      hash.update(readFileSync(join(engine, room, name)));
    }
  }
  return join(directory, `core-${hash.digest('hex')}`);
}
