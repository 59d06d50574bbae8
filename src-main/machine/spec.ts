/**
 * What a machine is told to be: `machine.yaml`, desired state, edited by hand or by us. Parsing
 * answers with a frozen spec or with one refusal that names the line and the column; writing
 * changes only the keys that changed, so comments and order of the owner's file stay.
 *
 *   const spec = parseSpec(text);
 *   const newText = editSpec(text, { memory: '512MiB' });
 */
import { isMap, isNode, isScalar, LineCounter, parseDocument, type Document } from 'yaml';
import { z } from 'zod';
import { Refusal } from '../base/refusal.ts';
import { engineName, hostPath, machineName, sharesMax, shareView } from '../contract/machine.ts';

const sizePattern = /^(\d{1,12})(?:\s*(B|KiB|MiB|GiB|K|M|G))?$/;
const unitBytes: Record<string, number> = {
  B: 1,
  K: 2 ** 10,
  KiB: 2 ** 10,
  M: 2 ** 20,
  MiB: 2 ** 20,
  G: 2 ** 30,
  GiB: 2 ** 30,
};

/** '256MiB', '1GiB', '256M' → bytes; undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = sizePattern.exec(text.trim());
  if (!match) return undefined;
  return Number(match[1]) * unitBytes[match[2] ?? 'B']!;
}

export function formatSize(bytes: number): string {
  if (bytes % 2 ** 30 === 0) return `${bytes / 2 ** 30}GiB`;
  if (bytes % 2 ** 20 === 0) return `${bytes / 2 ** 20}MiB`;
  if (bytes % 2 ** 10 === 0) return `${bytes / 2 ** 10}KiB`;
  return `${bytes}B`;
}

const size = z.string().transform((text, context) => {
  const bytes = parseSize(text);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: 'custom', message: 'write a size such as 256MiB or 1GiB' });
  return z.NEVER;
});

const memory = size.refine((bytes) => bytes >= 2 ** 24 && bytes <= 2 ** 40, {
  message: 'memory is between 16MiB and 1024GiB',
});
const label = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'a name is a-z, 0-9, . _ and -');
const mac = z
  .string()
  .regex(
    /^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/,
    'a MAC is locally administered: x2, x6, xa or xe first',
  );

export const diskSpec = z.strictObject({
  id: label,
  image: label.optional(),
  size: size.optional(),
  /** The file inside the machine's `disks` folder. */
  file: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/, 'a plain file name'),
  attached: z.boolean().default(true),
});
export type DiskSpec = z.output<typeof diskSpec>;

export const nicSpec = z.strictObject({
  id: label,
  slot: z.number().int().min(0).max(3),
  network: label,
  mac,
});
export type NicSpec = z.output<typeof nicSpec>;

export const shareSpec = shareView.extend({
  readOnly: z.boolean().default(true),
}).strict(); // prettier-ignore
export type ShareSpec = z.output<typeof shareSpec>;

export const specSchema = z.strictObject({
  apiVersion: z.literal('nymph/v1').default('nymph/v1'),
  id: z.string().regex(/^[0-9a-f]{8}$/, 'an id is eight hexadecimal digits'),
  engine: engineName.default('native'),
  /** The id of the machine that it runs inside of. */
  parent: z.string().regex(/^[0-9a-f]{8}$/, 'an id is eight hexadecimal digits').optional(),
  cpus: z.number().int().min(1).max(64).default(1),
  memory: memory.default(2 ** 28),
  image: label.optional(),
  kernel: z.string().max(120).default('auto'),
  /** A file of the host that runs in M-mode and starts the kernel; in portable machines. */
  firmware: hostPath.optional(),
  /** The partition that holds the root file system; 0 is the whole disk. */
  rootPartition: z.number().int().min(0).max(128).default(0),
  rootFilesystem: z
    .string()
    .regex(/^[a-z0-9]{1,16}$/, 'a file system type')
    .default('ext4'),
  init: z.string().max(200).optional(),
  commandLine: z.string().max(1024).default(''),
  consoles: z.number().int().min(1).max(8).default(2),
  confinement: z.enum(['on', 'off']).default('on'),
  disks: z.array(diskSpec).max(8).default([]),
  nics: z.array(nicSpec).max(4).default([]),
  /** Folders of the host that its guest sees. */
  shares: z.array(shareSpec).max(sharesMax).default([]),
  tags: z.array(z.string().max(40)).max(32).default([]),
  notes: z.string().max(20000).default(''),
});
export type MachineSpec = Readonly<z.output<typeof specSchema>>;
export type SpecInput = z.input<typeof specSchema>;

/** The name is the folder's, so it is checked apart from the file. */
export function checkName(name: string): string {
  const parsed = machineName.safeParse(name);
  if (!parsed.success) {
    throw new Refusal(
      'usage',
      `“${name}” cannot name a machine: ${parsed.error.issues[0]!.message}.`,
    );
  }
  return name;
}

/** @throws Refusal `bad-input` with the line and column of the first fault. */
export function parseSpec(text: string): MachineSpec {
  const { document, lines } = readDocument(text);
  const parsed = specSchema.safeParse(plainOf(document) ?? {});
  if (!parsed.success) throw faultOf(parsed.error.issues[0]!, document, lines);
  const spec = parsed.data;
  for (const key of ['id', 'file'] as const) {
    const seen = new Set<string>();
    for (const disk of spec.disks) {
      if (seen.has(disk[key])) {
        throw new Refusal('bad-input', `machine.yaml names the disk ${key} “${disk[key]}” twice.`);
      }
      seen.add(disk[key]);
    }
  }
  const tags = spec.shares.map(({ tag }) => tag);
  if (new Set(tags).size !== tags.length) {
    throw new Refusal('bad-input', 'machine.yaml gives two shared folders the same tag.');
  }
  const slots = spec.nics.map((nic) => nic.slot);
  if (new Set(slots).size !== slots.length) {
    throw new Refusal('bad-input', 'machine.yaml gives two network cards the same slot.');
  }
  return Object.freeze(spec);
}

const heading = `# A Nymph machine. Edit by hand while it is off; unknown keys are refused.\n`;

export function newSpecText(input: SpecInput): string {
  const document = parseDocument('{}');
  document.contents = document.createNode(input) as never;
  const text = heading + document.toString();
  parseSpec(text);
  return text;
}

/** Changes the given top-level keys in the owner's text; `undefined` removes a key. */
export function editSpec(text: string, changes: Partial<Record<keyof SpecInput, unknown>>): string {
  const { document } = readDocument(text);
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) document.delete(key);
    else setKeepingComment(document, key, value);
  }
  // Long lines are the owner's business, and so is how a list in brackets is spaced.
  const edited = document.toString({ lineWidth: 0, flowCollectionPadding: /\[ |\{ /.test(text) });
  parseSpec(edited);
  return edited;
}

function setKeepingComment(document: Document.Parsed, key: string, value: unknown): void {
  const before: unknown = document.get(key, true);
  if (isScalar(before) && (typeof value !== 'object' || value === null)) {
    before.value = value;
    return;
  }
  const node = document.createNode(value);
  if (isNode(before) && isNode(node)) {
    node.comment = before.comment ?? null;
    node.commentBefore = before.commentBefore ?? null;
  }
  document.set(key, node);
}

/** The values; few aliases are enough for anybody, and more can grow without bound. */
function plainOf(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 10 });
  } catch {
    throw new Refusal('bad-input', 'machine.yaml uses more aliases than can be followed.');
  }
}

function readDocument(text: string): { document: Document.Parsed; lines: LineCounter } {
  if (text.length > 1 << 18) throw new Refusal('bad-input', 'machine.yaml is larger than 256 KiB.');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const error = document.errors[0];
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    const said = error.message.split('\n')[0]!.replace(/\.$/, '');
    throw new Refusal('bad-input', `machine.yaml line ${line}: ${said}.`, { line, column: col });
  }
  if (document.contents !== null && !isMap(document.contents)) {
    throw new Refusal('bad-input', 'machine.yaml must be a list of keys and values.', {
      line: 1,
      column: 1,
    });
  }
  return { document, lines };
}

type Issue = z.core.$ZodIssue;

function faultOf(issue: Issue, document: Document.Parsed, lines: LineCounter): Refusal {
  let path = issue.path as (string | number)[];
  let said = issue.message;
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0]!;
    const lists = { disks: diskSpec, nics: nicSpec, shares: shareSpec };
    const inside = lists[path[0] as keyof typeof lists] ?? specSchema;
    const known = Object.keys(inside.shape);
    const near = known.find((candidate) => distance(candidate, key) <= 2);
    said = `there is no key “${key}”${near ? `; did you mean “${near}”?` : ''}`;
    path = [...path, key];
  }
  const at = placeOf(path, document, lines);
  const where = at ? ` line ${at.line}` : '';
  const key = path.join('.');
  const named = issue.code === 'unrecognized_keys' ? said : `${key}: ${said}`;
  return new Refusal('bad-input', `machine.yaml${where}: ${named.replace(/[.?]$/, '')}.`, at);
}

function placeOf(path: (string | number)[], document: Document.Parsed, lines: LineCounter) {
  for (let depth = path.length; depth > 0; depth--) {
    const parent: unknown =
      depth === 1 ? document.contents : document.getIn(path.slice(0, depth - 1), true);
    if (isMap(parent)) {
      const pair = parent.items.find((item) => String(item.key) === String(path[depth - 1]));
      const range = (pair?.key as { range?: [number, number, number] } | undefined)?.range;
      if (range) {
        const { line, col } = lines.linePos(range[0]);
        return { line, column: col };
      }
    }
  }
  return undefined;
}

/** Levenshtein distance, for "did you mean". */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(change, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** JSON Schema of machine.yaml, for editors. */
export function specJsonSchema(): object {
  return z.toJSONSchema(specSchema, { io: 'input', unrepresentable: 'any' });
}
