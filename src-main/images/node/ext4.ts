/**
 * Makes ext4 images as an ordinary user, with e2fsprogs: mke2fs for the file system, debugfs to
 * put files in as root's. The file is sparse: it takes on the host what its content takes.
 *
 *   await formatExt4(path, { sizeMib: 1024, label: 'tiny', seed: hash });
 *   await fillExt4(path, tree);            // files, directories, links; owner 0, time `epoch`
 *
 * The same arguments give the same bytes: identifiers come from `seed`, all times are `epoch`.
 * What must hold: debugfs ends with 0 whatever happens, so each thing it says is an error.
 */
import { createHash } from 'node:crypto';
import { open, writeFile } from 'node:fs/promises';
import { Refusal } from '../../base/refusal.ts';
import { run } from './run.ts';

export interface TreeEntry {
  /** Absolute inside the image; parents come first. */
  path: string;
  kind: 'file' | 'directory' | 'link';
  /** Permission bits; for a link they do not count. */
  mode: number;
  /** For a file: where its content lies on the host. */
  from?: string;
  /** For a link. */
  target?: string;
}

export interface FormatOptions {
  sizeMib: number;
  label: string;
  /** Any text; identifiers are derived from it. */
  seed: string;
  /** A directory on the host whose content becomes the image's, owners and all. */
  content?: string;
  /** Runs mke2fs under this command, for example `fakeroot -i state --`. */
  under?: string[];
  signal?: AbortSignal;
}

/** 2025-01-01: a time for all files, so that an image depends on its content alone. */
const epoch = '1735689600';

/** Named one by one: what a host's mke2fs.conf would add differs between hosts. */
const features = [
  'none', 'has_journal', 'ext_attr', 'resize_inode', 'dir_index', 'filetype', 'extent', '64bit',
  'flex_bg', 'sparse_super', 'large_file', 'huge_file', 'dir_nlink', 'extra_isize',
  'metadata_csum',
];

/**
 * No lazy work: a fresh file reads as zeros, so there is nothing to clear,
 * and a guest's kernel thread that clears it later would cost every machine time.
 * The journal is small because a machine's disk is; 4 MiB is the least that mke2fs allows here.
 */
export async function formatExt4(path: string, options: FormatOptions): Promise<void> {
  const file = await open(path, 'w');
  await file.truncate(options.sizeMib * 1024 * 1024);
  await file.close();
  const args = [
    '-q', '-F', '-t', 'ext4', '-b', '4096', '-L', options.label, '-m', '1', '-J', 'size=4',
    '-I', '256', '-i', '16384', '-O', features.join(), '-U', uuid(`${options.seed} file system`),
    '-E', `lazy_itable_init=0,lazy_journal_init=0,hash_seed=${uuid(`${options.seed} hash`)},` +
      'root_owner=0:0',
    ...(options.content === undefined ? [] : ['-d', options.content]), path,
  ];
  const [program = 'mke2fs', ...rest] = [...(options.under ?? []), 'mke2fs', ...args];
  await run(program, rest, {
    signal: options.signal,
    env: { E2FSPROGS_FAKE_TIME: epoch, MKE2FS_CONFIG: '/dev/null' },
    package: program === 'mke2fs' ? 'e2fsprogs' : program,
  });
}

export async function fillExt4(
  path: string,
  tree: readonly TreeEntry[],
  signal?: AbortSignal,
): Promise<void> {
  const script = `${path}.debugfs`;
  await writeFile(script, `${tree.flatMap(commandsFor).join('\n')}\n`);
  const { stderr } = await run('debugfs', ['-w', '-f', script, path], {
    signal,
    env: { E2FSPROGS_FAKE_TIME: epoch, DEBUGFS_PAGER: '__none__' },
    package: 'e2fsprogs',
  });
  const said = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('debugfs 1.'));
  if (said.length === 0) return;
  throw new Refusal('internal', `debugfs could not fill the image: ${said[0]}.`);
}

function commandsFor(entry: TreeEntry): string[] {
  const { path, kind } = entry;
  checkWord(path);
  const times = ['atime', 'mtime', 'ctime', 'crtime'].map((t) => `sif ${path} ${t} @${epoch}`);
  if (kind === 'link') {
    checkWord(entry.target ?? '');
    return [`symlink ${path} ${entry.target}`, ...times];
  }
  const type = kind === 'directory' ? 0o040000 : 0o100000;
  const mode = `sif ${path} mode 0${(type | entry.mode).toString(8)}`;
  if (kind === 'directory') return [`mkdir ${path}`, mode, ...times];
  checkWord(entry.from ?? '');
  return [`write ${entry.from} ${path}`, mode, `sif ${path} uid 0`, `sif ${path} gid 0`, ...times];
}

/** debugfs splits its script at blanks; what would need quoting is refused instead. */
function checkWord(word: string): void {
  if (!/^[^\s"']+$/.test(word)) {
    throw new Refusal('bad-input', `"${word}" cannot be written by debugfs: it has a blank.`);
  }
}

function uuid(seed: string): string {
  const hex = createHash('sha256').update(seed).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`,
    hex.slice(20, 32)].join('-');
}
