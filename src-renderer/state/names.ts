/** Names made from what a person gave us, so that a form never begins with a refusal. */

/** An image's name from a file's: without the endings that say how it is packed. */
export function imageName(fileName: string): string {
  const plain = fileName
    .toLowerCase()
    .replace(/(\.(gz|xz|zst|bz2|tar|tgz|txz|qcow2|img|raw|iso|ext4|bin|nymph))+$/, '')
    .replace(/[^a-z0-9._-]+/g, '-')
    .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '');
  return plain.slice(0, 60) || 'image';
}

/** A machine's name near the wish that none of the taken ones is. */
export function freeName(wish: string, taken: ReadonlySet<string>): string {
  const plain = wish
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^[^a-z]+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  const base = plain || 'machine';
  for (let number = 1; number <= 1000; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.has(name)) return name;
  }
  return base;
}
