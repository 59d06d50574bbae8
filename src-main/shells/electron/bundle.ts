/**
 * Which machine bundle a command line names: the last argument that ends in `.nymph`. Options are
 * never paths, and what the file really is gets decided later, by its content.
 */
import { resolve } from 'node:path';

export function bundleOf(argv: readonly string[], folder: string): string | undefined {
  const named = argv.slice(1).filter((word) => !word.startsWith('-') && word.endsWith('.nymph'));
  const last = named.at(-1);
  return last === undefined ? undefined : resolve(folder, last);
}
