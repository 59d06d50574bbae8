/**
 * Fetches the newest kernel source package that the machine's own Debian mirror has, without root
 * and without touching the system: apt runs on a private state of its own, with the mirrors and
 * keys of the machine's configuration and further suites. The tree is then unpacked without what
 * this kernel never compiles, and edited.
 *
 * Use: `prepareSource({cacheDirectory, recipe, …})`. A tree under `source/` that has its final
 * name is whole: it is made under another name and renamed. Everything before is thrown away and
 * made again when interrupted, but for the package itself once it is there.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, readTextIfThere, writeFileAtomic } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import { kernelSuites } from '../apt-sources.ts';
import { parseOffers, type SourceOffer } from '../debian-version.ts';
import { applyEdits, editedFiles, sourceKey, type KernelRecipe } from '../recipe.ts';
import { privateApt } from './private-apt.ts';
import { programEnvironment, type RunOptions } from './run.ts';

export type SourceOptions = {
  cacheDirectory: string;
  recipe: KernelRecipe;
  /** Ask the mirror even when a source chosen before is at hand. */
  refresh?: boolean;
  onStep: (step: 'fetch' | 'unpack' | 'edit', fraction: number) => void;
  run: (argv: readonly string[], options?: RunOptions) => Promise<string>;
  log: (line: string) => void;
  /** Where the machine keeps its apt configuration. */
  aptDirectory?: string;
};

export type PreparedSource = { directory: string; version: string; package: string };

const offersTried = 3;

export async function prepareSource(options: SourceOptions): Promise<PreparedSource> {
  const root = await makeDirectory(join(options.cacheDirectory, 'source'));
  const known = options.refresh ? undefined : await chosenSource(root);
  if (known !== undefined) {
    const directory = join(root, sourceKey(known.version, options.recipe));
    if (existsSync(directory)) return { directory, ...known };
  }
  const offers = await findOffers(options);
  const newest = offers[0];
  if (newest === undefined) {
    throw new Refusal(
      'unavailable',
      'The mirror of this machine has no linux-source package, or it cannot be reached.',
    );
  }
  const ready = join(root, sourceKey(newest.version, options.recipe));
  let chosen = newest;
  if (!existsSync(ready)) {
    const fetched = await fetchNewest(options, root, offers.slice(0, offersTried));
    chosen = fetched.offer;
    await unpack(options, root, fetched.file, sourceKey(chosen.version, options.recipe));
  }
  await writeFileAtomic(join(root, 'chosen.json'), JSON.stringify(chosen));
  return { directory: join(root, sourceKey(chosen.version, options.recipe)), ...chosen };
}

/** The source that a build was begun with, so that an interrupted one goes on without a network. */
async function chosenSource(root: string): Promise<SourceOffer | undefined> {
  try {
    const text = await readTextIfThere(join(root, 'chosen.json'));
    const value = text === undefined ? undefined : (JSON.parse(text) as SourceOffer);
    return typeof value?.version === 'string' && typeof value.package === 'string'
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/** Newest first. Writes the private apt state and brings its lists up to date. */
async function findOffers(options: SourceOptions): Promise<SourceOffer[]> {
  options.onStep('fetch', 0);
  const apt = await privateApt({
    directory: join(options.cacheDirectory, 'apt'),
    suites: kernelSuites,
    aptDirectory: options.aptDirectory,
  });
  // A suite that the mirror does not have is a failure to apt, and none to us.
  await options.run([...apt, 'update'], { accept: [100] });
  const cache = ['apt-cache', ...apt.slice(1)];
  const names = (await options.run([...cache, 'pkgnames', 'linux-source-'])).split('\n');
  const wanted = names.filter((name) => /^linux-source-\d+(\.\d+)+$/.test(name)).slice(0, 100);
  if (wanted.length === 0) return [];
  return parseOffers(await options.run([...cache, 'madison', ...wanted]));
}

/** A mirror may list what it does not have yet; then the next newest serves. */
async function fetchNewest(
  options: SourceOptions,
  root: string,
  offers: readonly SourceOffer[],
): Promise<{ offer: SourceOffer; file: string }> {
  let failure: unknown;
  for (const offer of offers) {
    try {
      return { offer, file: await fetchPackage(options, root, offer) };
    } catch (thrown) {
      const code = thrown instanceof Refusal ? thrown.code : undefined;
      if (code === 'cancelled' || code === 'no-space') throw thrown;
      options.log(`${offer.package} ${offer.version} could not be fetched: ${String(thrown)}`);
      failure = thrown;
    }
  }
  options.log(String(failure));
  throw new Refusal('unavailable', 'The kernel source could not be fetched from the mirror.');
}

async function fetchPackage(
  options: SourceOptions,
  root: string,
  offer: SourceOffer,
): Promise<string> {
  const conf = join(options.cacheDirectory, 'apt/apt.conf');
  const apt = ['apt-get', '-c', conf, '-q', 'download', `${offer.package}=${offer.version}`];
  const [, , name = '', size = ''] =
    /^'([^']*)' (\S+) (\d+)/m.exec(await options.run([...apt, '--print-uris'])) ?? [];
  if (!/^linux-source-[\w.+~%:-]+\.deb$/.test(name)) {
    throw new Refusal('unavailable', 'The mirror does not say where the kernel source is.');
  }
  const directory = await makeDirectory(join(root, 'package'));
  const bytes = Number(size);
  const timer = setInterval(() => {
    void sizeOfLargest(directory).then((done) => {
      options.onStep('fetch', bytes > 0 ? Math.min(done / bytes, 1) : 0);
    });
  }, 300);
  try {
    // apt checks the package against the signed lists, also one that is there already.
    await options.run(apt, { cwd: directory });
  } finally {
    clearInterval(timer);
  }
  options.onStep('fetch', 1);
  const found = (await readdir(directory)).filter((each) =>
    each.startsWith(`${offer.package}_${offer.version.replaceAll(':', '%3a')}_`),
  );
  if (found[0] === undefined) {
    throw new Refusal('unavailable', 'The kernel source package did not arrive.');
  }
  return join(directory, found[0]);
}

async function sizeOfLargest(directory: string): Promise<number> {
  let largest = 0;
  for (const name of await readdir(directory).catch(() => [])) {
    const there = await stat(join(directory, name)).catch(() => undefined);
    largest = Math.max(largest, there?.size ?? 0);
  }
  return largest;
}

/**
 * What no kernel of ours compiles, by far the greatest part: drivers of real devices, documents.
 * Build and option files stay, because they are read across the tree.
 */
const leftOut: readonly string[] = [
  '*/Documentation/*.*',
  '*/sound/*.c',
  '*/arch/*.dts',
  '*/arch/*.dtsi',
  ...[
    ...['accel', 'crypto', 'gpu', 'hwmon', 'iio', 'infiniband', 'input', 'media', 'mtd'],
    ...['net/ethernet', 'net/wireless', 'phy', 'pinctrl', 'platform', 'scsi', 'soc'],
    ...['staging', 'usb'],
  ].map((folder) => `*/drivers/${folder}/*.[chS]`),
  ...['perf', 'testing'].flatMap((folder) => [
    `*/tools/${folder}/*.[chS]`,
    `*/tools/${folder}/*.json`,
  ]),
];

async function unpack(
  options: SourceOptions,
  root: string,
  packageFile: string,
  key: string,
): Promise<void> {
  options.onStep('unpack', 0);
  const partial = join(root, `.${key}.partial`);
  const outer = join(root, '.package.partial');
  const env = programEnvironment();
  for (const folder of [partial, outer]) await rm(folder, { recursive: true, force: true });
  await makeDirectory(partial);
  await options.run(['dpkg-deb', '-x', packageFile, outer], { env });
  const tarball = await findTarball(outer);
  options.onStep('unpack', 0.1);
  const excludes = ['--anchored', '--wildcards', '--wildcards-match-slash'].concat(
    leftOut.map((pattern) => `--exclude=${pattern}`),
  );
  const tar = ['tar', '-x', '-f', tarball, '-C', partial, '--strip-components=1'];
  await options.run([...tar, '--no-same-owner', ...excludes], { env });
  await rm(outer, { recursive: true, force: true });
  options.onStep('edit', 0);
  await editTree(partial, options.recipe);
  await rename(partial, join(root, key));
  await rm(join(root, 'package'), { recursive: true, force: true });
}

/** Debian keeps it in usr/src, Ubuntu a folder below. */
async function findTarball(outer: string): Promise<string> {
  const source = join(outer, 'usr/src');
  for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && /^linux-source-[\w.]+\.tar\.(xz|bz2|gz|zst)$/.test(entry.name)) {
      return join(entry.parentPath, entry.name);
    }
  }
  throw new Refusal('unsupported', 'The package holds no kernel source archive.');
}

/** @throws Refusal `unsupported` when the source does not fit an edit. */
export async function editTree(tree: string, recipe: KernelRecipe): Promise<void> {
  for (const file of editedFiles(recipe.edits)) {
    const path = join(tree, file);
    const text = existsSync(path) ? await readFile(path, 'utf8') : '';
    await writeFile(path, applyEdits(file, text, recipe.edits));
  }
}
