/**
 * Writes flattened device trees (version 17). A tree is plain data: properties first, then
 * children, in the order given.
 */
import { Bytes } from '../wasm/bytes.ts';

export interface Node {
  name: string;
  properties: [name: string, value: Value][];
  children: Node[];
}

/** Text, a list of texts, 32-bit cells, raw bytes, or an empty property. */
export type Value = string | string[] | number[] | Uint8Array | null;

export function node(name: string, properties: Node['properties'], children: Node[] = []): Node {
  return { name, properties, children };
}

function be32(out: Bytes, value: number): void {
  out.all([(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255]);
}

function valueBytes(value: Value): Uint8Array {
  if (value === null) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  const out = new Bytes();
  if (typeof value === 'string') out.all([...new TextEncoder().encode(value), 0]);
  else {
    for (const item of value) {
      if (typeof item === 'number') be32(out, item);
      else out.all([...new TextEncoder().encode(item), 0]);
    }
  }
  return out.take();
}

export function flatten(root: Node): Uint8Array {
  const structure = new Bytes();
  const strings = new Bytes();
  const offsets = new Map<string, number>();
  const pad = () => {
    while (structure.length % 4 !== 0) structure.u8(0);
  };
  const write = (n: Node) => {
    be32(structure, 1);
    structure.all([...new TextEncoder().encode(n.name), 0]);
    pad();
    for (const [name, value] of n.properties) {
      let offset = offsets.get(name);
      if (offset === undefined) {
        offset = strings.length;
        offsets.set(name, offset);
        strings.all([...new TextEncoder().encode(name), 0]);
      }
      const bytes = valueBytes(value);
      be32(structure, 3);
      be32(structure, bytes.length);
      be32(structure, offset);
      structure.all([...bytes]);
      pad();
    }
    for (const child of n.children) write(child);
    be32(structure, 2);
  };
  write(root);
  be32(structure, 9);
  const out = new Bytes();
  const headerBytes = 40;
  const reserveBytes = 16;
  const structureAt = headerBytes + reserveBytes;
  const stringsAt = structureAt + structure.length;
  const total = stringsAt + strings.length;
  for (const word of [
    0xd00dfeed, total, structureAt, stringsAt, headerBytes, 17, 16, 0, strings.length,
    structure.length, 0, 0, 0, 0,
  ]) be32(out, word); // prettier-ignore
  out.append(structure);
  out.append(strings);
  return out.take();
}
