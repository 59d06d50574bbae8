/**
 * apt on a private state of its own, with the mirrors and keys of the machine's configuration: it
 * needs no root and does not touch the system, and may ask for other suites and other processors.
 *
 *   const apt = await privateApt({ directory, suites, architecture: 'riscv64' });
 *   await run([...apt, 'update'], { accept: [100] });
 *   await run([...apt, 'download', 'busybox-static'], { cwd });
 */
import { existsSync } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, readTextIfThere } from '../../base/node/files.ts';
import { Refusal } from '../../base/refusal.ts';
import {
  parseRelease,
  parseSources,
  writeSources,
  type AptSource,
  type Release,
  type SourceFile,
} from '../apt-sources.ts';

export interface PrivateApt {
  /** Where its lists and its configuration lie; it may be deleted at any time. */
  readonly directory: string;
  /** From the machine's own sources to those that are asked. */
  readonly suites: (entries: readonly AptSource[], release: Release) => AptSource[];
  /** Debian's name of the processor; the machine's own when absent. */
  readonly architecture?: string;
  /** Where the machine keeps its apt configuration. */
  readonly aptDirectory?: string;
}

/** The beginning of an apt-get command that uses nothing of the system but its keys. */
export async function privateApt(options: PrivateApt): Promise<string[]> {
  const files = await readAptSources(options.aptDirectory ?? '/etc/apt');
  const release = parseRelease((await readTextIfThere('/etc/os-release')) ?? '');
  const sources = options.suites(parseSources(files), release);
  if (sources.length === 0) {
    throw new Refusal(
      'unavailable',
      'The apt configuration of this machine names no Debian or Ubuntu mirror to fetch from.',
    );
  }
  const root = await makeDirectory(options.directory);
  await makeDirectory(join(root, 'state/lists/partial'));
  await makeDirectory(join(root, 'cache/archives/partial'));
  await makeDirectory(join(root, 'sources'));
  await writeFile(join(root, 'state/status'), '');
  await writeFile(join(root, 'sources/nymph.sources'), writeSources(sources));
  await writeFile(
    join(root, 'apt.conf'),
    [
      `Dir::State "${root}/state";`,
      `Dir::State::status "${root}/state/status";`,
      `Dir::Cache "${root}/cache";`,
      'Dir::Etc::sourcelist "/dev/null";',
      `Dir::Etc::sourceparts "${root}/sources";`,
      'APT::Sandbox::User "";',
      ...architectureLines(options.architecture),
      'Acquire::Languages "none";',
      'Acquire::Retries "3";',
      // What the system does after its own updates is not ours to start.
      '#clear APT::Update::Post-Invoke;',
      '#clear APT::Update::Post-Invoke-Success;',
      '#clear DPkg::Post-Invoke;',
      '',
    ].join('\n'),
  );
  return ['apt-get', '-c', join(root, 'apt.conf'), '-q'];
}

function architectureLines(architecture: string | undefined): string[] {
  if (architecture === undefined) return [];
  return [`APT::Architecture "${architecture}";`, `APT::Architectures {"${architecture}";};`];
}

async function readAptSources(directory: string): Promise<SourceFile[]> {
  const parts = join(directory, 'sources.list.d');
  const names = existsSync(parts) ? (await readdir(parts)).sort() : [];
  const paths = [
    join(directory, 'sources.list'),
    ...names.filter((name) => /\.(list|sources)$/.test(name)).map((name) => join(parts, name)),
  ];
  const files: SourceFile[] = [];
  for (const name of paths) {
    const text = await readTextIfThere(name);
    if (text !== undefined) files.push({ name, text });
  }
  return files;
}
