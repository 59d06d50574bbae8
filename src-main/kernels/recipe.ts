/**
 * The recipe of a kernel: which options, which edits, in one value with one hash. A kernel is
 * keyed by the version of its source and that hash; a changed recipe is another kernel.
 *
 * Use: `recipeOf('up')`, `kernelKey(version, recipe)`. The hash depends on what goes into the
 * kernel and on nothing else: grouping, order of groups' reasons and comments do not change it.
 */
import { applyEdits, editedFiles, kernelEdits, kernelFeatures, type KernelEdit } from './edits.ts';
import { fragmentOptions, fragmentText, type KernelFlavour } from './fragment.ts';

export type KernelRecipe = {
  readonly flavour: KernelFlavour;
  readonly options: readonly string[];
  readonly edits: readonly KernelEdit[];
  /** 12 hexadecimal digits. */
  readonly hash: string;
  /** Of the edits alone: flavours with the same edits share one source tree. */
  readonly editsHash: string;
  /** What `KCONFIG_ALLCONFIG` gets; it ends with the mark by which a kernel is recognised. */
  readonly fragment: string;
  /** How many objects a build compiles, until a build on this machine has counted them. */
  readonly objectsEstimate: number;
};

/** Raise it when the way of building changes so that kernels built before must not be reused. */
const revision = 1;
/** Raise it when other files are left out of the unpacked source: trees made before lack them. */
const treeRevision = 3;

const objects: Record<KernelFlavour, number> = { up: 975, smp: 990, riscv64: 1100 };

export function recipeOf(
  flavour: KernelFlavour,
  edits: readonly KernelEdit[] = kernelEdits,
  options: readonly string[] = fragmentOptions(flavour),
): KernelRecipe {
  const textOf = (some: readonly KernelEdit[]) =>
    JSON.stringify(some.map(({ file, find, change }) => [file, find, change]));
  // The tree is edited once for all flavours; what a flavour never compiles is no part of it.
  const own = edits.filter(({ file }) => flavour !== 'riscv64' || !file.startsWith('arch/um/'));
  const hash = hashText(JSON.stringify([revision, flavour, [...options].sort(), textOf(own)]));
  const features = kernelFeatures.filter((name) => own.some((edit) => edit.feature === name));
  return {
    flavour,
    options,
    edits,
    hash,
    editsHash: hashText(`${treeRevision} ${textOf(edits)}`),
    fragment: fragmentText([...options, `BUILD_SALT="${recipeMark(hash, features)}"`]),
    objectsEstimate: objects[flavour],
  };
}

/** What a kernel of ours carries in its embedded configuration, as the value of BUILD_SALT. */
export function recipeMark(hash: string, features: readonly string[]): string {
  return ['nymph', hash, ...features].join('_');
}

/** The features named in a BUILD_SALT; undefined when the kernel is none of ours. */
export function readRecipeMark(salt: string): { hash: string; features: string[] } | undefined {
  const [mark, hash, ...features] = salt.split('_');
  if (mark !== 'nymph' || !/^[0-9a-f]{12}$/.test(hash ?? '')) return undefined;
  return { hash: hash as string, features };
}

/** The name of a built kernel and of its folder: `7.2.13-1-up-0123456789ab`. */
export function kernelKey(sourceVersion: string, recipe: KernelRecipe): string {
  return `${fileSafe(sourceVersion)}-${recipe.flavour}-${recipe.hash}`;
}

/** The name of the edited source tree, shared by the flavours. */
export function sourceKey(sourceVersion: string, recipe: KernelRecipe): string {
  return `${fileSafe(sourceVersion)}-${recipe.editsHash}`;
}

export { applyEdits, editedFiles };

function fileSafe(version: string): string {
  return version.replace(/[^A-Za-z0-9.~+-]/g, '+');
}

/** FNV-1a, 64 bits, cut to 48: it tells recipes apart and guards against nothing. */
function hashText(text: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash.toString(16).padStart(16, '0').slice(0, 12);
}
