/**
 * What this host has and lacks for Nymph, each with one sentence and, where it can be mended, the
 * one command that mends it.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { posixAvailable } from '../../base/node/posix.ts';
import type { Check, KernelView } from '../../contract/things.ts';
import { missingBuildPackages } from '../../kernels/node/build.ts';
import type { Paths } from './paths.ts';
import { availableMemoryBytes, type Confinement } from './planner.ts';

const lowDiskBytes = 2 ** 30;
const lowMemoryBytes = 256 * 2 ** 20;

export async function runChecks(
  paths: Paths,
  confinement: Confinement,
  kernels: readonly KernelView[],
): Promise<Check[]> {
  return [
    checkKernel(kernels),
    checkBuild(),
    checkConfinement(confinement),
    checkPrograms(),
    checkPosix(),
    checkShared(),
    await checkDisk(paths),
    checkMemory(),
  ];
}

function checkKernel(kernels: readonly KernelView[]): Check {
  const base = { id: 'kernel', title: 'Kernel' };
  const own = kernels.find((kernel) => kernel.flavour === 'up' || kernel.flavour === 'smp');
  if (own) return { ...base, status: 'ok', sentence: `Our own vkernel ${own.version} is there.` };
  const native = kernels.filter(({ engine }) => engine === 'native');
  if (native.some(({ obstacle }) => obstacle === undefined)) {
    return {
      ...base,
      status: 'warn',
      sentence: 'Machines run on the packaged kernel, which is slower and larger than our own.',
      fix: 'nymph kernel build',
    };
  }
  return {
    ...base,
    status: 'fail',
    sentence: native[0]?.obstacle ?? 'There is no User Mode Linux kernel on this host.',
    fix: 'nymph kernel build',
  };
}

function checkBuild(): Check {
  const missing = missingBuildPackages();
  const base = { id: 'build', title: 'Kernel build' };
  if (missing.length === 0) {
    return { ...base, status: 'ok', sentence: 'Everything a kernel build needs is installed.' };
  }
  return {
    ...base,
    status: 'warn',
    sentence: `A kernel cannot be built here: ${missing.join(', ')} missing.`,
    fix: `sudo apt install ${missing.join(' ')}`,
  };
}

function checkConfinement(confinement: Confinement): Check {
  const base = { id: 'confinement', title: 'Compartments' };
  if (confinement.works) {
    return { ...base, status: 'ok', sentence: 'Each machine runs in a compartment of its own.' };
  }
  return {
    ...base,
    status: 'warn',
    sentence: `Machines run with your own rights: ${confinement.reason ?? 'it fails here.'}`,
    fix: 'sudo apt install bubblewrap',
  };
}

function checkPrograms(): Check {
  const wanted = { mke2fs: 'e2fsprogs', fakeroot: 'fakeroot', gcc: 'gcc libc6-dev' };
  const missing = Object.entries(wanted).filter(([program]) => !findProgram(program));
  const base = { id: 'programs', title: 'Programs' };
  if (missing.length === 0) {
    return { ...base, status: 'ok', sentence: 'The programs that make images are installed.' };
  }
  return {
    ...base,
    status: 'warn',
    sentence: `Images cannot be made here: ${missing.map(([name]) => name).join(', ')} missing.`,
    fix: `sudo apt install ${missing.map(([, packages]) => packages).join(' ')}`,
  };
}

function checkPosix(): Check {
  const base = { id: 'posix', title: 'System calls' };
  return posixAvailable()
    ? { ...base, status: 'ok', sentence: 'Networks and pipes can be made.' }
    : { ...base, status: 'fail', sentence: 'The native call library does not load on this host.' };
}

function checkShared(): Check {
  const base = { id: 'memory-files', title: 'Memory files' };
  try {
    accessSync('/dev/shm', constants.W_OK | constants.X_OK);
    return { ...base, status: 'ok', sentence: 'Guest memory can be held in /dev/shm.' };
  } catch {
    return {
      ...base,
      status: 'warn',
      sentence: '/dev/shm cannot be written; guest memory goes to /tmp.',
    };
  }
}

async function checkDisk(paths: Paths): Promise<Check> {
  const { bavail, bsize } = await statfs(paths.data);
  const free = bavail * bsize;
  const base = { id: 'disk', title: 'Disk space' };
  const sentence = `${(free / 2 ** 30).toFixed(1)} GiB are free for machines and images.`;
  return { ...base, status: free < lowDiskBytes ? 'warn' : 'ok', sentence };
}

function checkMemory(): Check {
  const free = availableMemoryBytes() ?? 0;
  const base = { id: 'memory', title: 'Memory' };
  const sentence = `${(free / 2 ** 30).toFixed(1)} GiB of memory are free for guests.`;
  return { ...base, status: free < lowMemoryBytes ? 'warn' : 'ok', sentence };
}

function findProgram(name: string): boolean {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => folder && existsSync(join(folder, name)));
}
