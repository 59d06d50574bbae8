/** What a kernel file says of itself, and which kernel a machine gets. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  chooseInnerKernel,
  chooseKernel,
  inspectKernel,
  type KernelInfo,
} from '../../../src-main/kernels/kernel.ts';
import { makeElf, makeKernel } from './fake-elf.ts';

test('version and features are read from the file without running it', () => {
  const report = inspectKernel(
    makeKernel({
      config: [
        'CONFIG_SMP=y',
        'CONFIG_UML_NET_VECTOR=y',
        'CONFIG_BUILD_SALT="nymph_0123456789ab_flush_nesting"',
      ],
      texts: ['seccomp=<on/auto/off>\n', 'ncpus=<n>'],
    }),
  );
  assert.equal(report.version, '7.2.13-nymph');
  assert.equal(report.recipeHash, '0123456789ab');
  assert.deepEqual(report.features, {
    smp: true,
    seccomp: true,
    flushReachesHost: true,
    nesting: true,
    initrd: true,
    vectorNetwork: true,
    hostfs: false,
    mconsole: false,
    partitions: false,
    balloon: false,
    wideState: true,
  });
});

test('from 6.13 on a kernel has room for the registers of every processor', () => {
  const taken = ['6.1.176', '6.12.9', '6.13.0', '6.13-rc1', '7.2.13-nymph'].map(
    (version) => inspectKernel(makeKernel({ version })).features.wideState,
  );
  assert.deepEqual(taken, [false, false, true, true, true]);
});

test('a kernel without our mark is taken to lack our edits', () => {
  const { features, recipeHash } = inspectKernel(makeKernel());
  assert.equal(recipeHash, undefined);
  assert.equal(features.flushReachesHost, false);
  assert.equal(features.nesting, false);
});

test('programs, other kernels and kernels without a version are refused with a sentence', () => {
  const cases: [Uint8Array, RegExp][] = [
    [makeElf(), /not a User Mode Linux kernel/],
    [makeElf({ texts: ['CONFIG_X86=y\n', 'CONFIG_64BIT=y\n'] }), /not a User Mode Linux kernel/],
    [makeElf({ texts: ['CONFIG_UML=y\n', 'CONFIG_64BIT=y\n'] }), /does not say its version/],
    [makeKernel({ type: 'library' }), /not a program that can run/],
    [makeElf({ texts: ['told in passing: CONFIG_UML=y\n'] }), /not a User Mode Linux kernel/],
  ];
  for (const [bytes, message] of cases) {
    assert.throws(() => inspectKernel(bytes), { code: 'bad-input', message });
  }
});

const up = kernel('7.2-up', 'up', false);
const smp = kernel('7.2-smp', 'smp', true);
const packaged = kernel('packaged', 'packaged', false);

test('one processor gets the kernel for one, several get the other with seccomp', () => {
  const all = [up, smp, packaged];
  const one = chooseKernel(all, 1);
  assert.deepEqual([one.kernel.id, one.seccomp, one.cpus], ['7.2-up', false, 1]);
  const two = chooseKernel(all, 2);
  assert.deepEqual([two.kernel.id, two.seccomp, two.cpus], ['7.2-smp', true, 2]);
});

test('until ours is built the packaged kernel serves, with one processor, and says so', () => {
  const choice = chooseKernel([packaged], 4);
  assert.deepEqual([choice.kernel.id, choice.seccomp, choice.cpus], ['packaged', false, 1]);
  assert.match(choice.reason, /our own kernel is not built yet/);
  assert.match(choice.reason, /one processor only, not 4/);
});

test('the default serves every machine whose processors it can run', () => {
  const chosen = { ...packaged, default: true };
  assert.equal(chooseKernel([up, smp, chosen], 1).kernel.id, 'packaged');
  assert.equal(chooseKernel([up, smp, chosen], 2).kernel.id, '7.2-smp');
});

test('a machine that names a kernel gets that one, and a wrong name is refused', () => {
  assert.equal(chooseKernel([up, smp], 1, '7.2-smp').kernel.id, '7.2-smp');
  assert.equal(chooseKernel([up, smp], 2, '7.2-up').cpus, 1);
  assert.equal(chooseKernel([up, smp], 1, 'auto').kernel.id, '7.2-up');
  assert.throws(() => chooseKernel([up], 1, 'gone'), { code: 'not-found' });
});

test('inside a native machine one has one processor, unless it names a kernel for several', () => {
  const portable = kernel('7.2-riscv64', 'riscv64', true);
  const all = [up, smp, portable];
  const inner = chooseInnerKernel(all, 2);
  assert.deepEqual([inner.kernel.id, inner.cpus], ['7.2-up', 1]);
  assert.match(inner.reason, /one processor, not 2: inside a machine/);
  assert.doesNotMatch(chooseInnerKernel(all, 1).reason, /inside a machine/);
  assert.deepEqual(chooseInnerKernel(all, 2, '7.2-smp'), chooseKernel(all, 2, '7.2-smp'));
  assert.equal(chooseInnerKernel(all, 2, 'auto', 'portable').cpus, 2);
});

test('each engine has kernels of its own, and its own default', () => {
  const portable = kernel('7.2-riscv64', 'riscv64', true);
  const all = [up, smp, { ...packaged, default: true }, portable];
  const chosen = chooseKernel(all, 4, 'auto', 'portable');
  assert.deepEqual([chosen.kernel.id, chosen.seccomp, chosen.cpus], ['7.2-riscv64', false, 4]);
  assert.throws(() => chooseKernel(all, 1, '7.2-riscv64'), { code: 'unsupported' });
  assert.throws(() => chooseKernel([up], 1, 'auto', 'portable'), {
    code: 'unavailable',
    message: /kernel build --portable/,
  });
});

test('a kernel that cannot run on this host is never chosen, and says why when it is named', () => {
  const lame = { ...packaged, obstacle: 'It is too old for this host.' };
  assert.equal(chooseKernel([{ ...lame, default: true }, up], 1).kernel.id, '7.2-up');
  const refused = { code: 'unavailable', message: /too old for this host/ };
  assert.throws(() => chooseKernel([lame, up], 1, 'packaged'), refused);
  assert.throws(() => chooseKernel([lame], 1), { ...refused, message: /old.*nymph kernel build/ });
});

test('without any kernel the refusal says how to get one', () => {
  assert.throws(() => chooseKernel([], 1), { code: 'unavailable', message: /nymph kernel build/ });
});

function kernel(id: string, flavour: KernelInfo['flavour'], many: boolean): KernelInfo {
  const { features, version } = inspectKernel(makeKernel());
  return {
    id,
    version,
    flavour,
    engine: flavour === 'riscv64' ? 'portable' : 'native',
    path: `/kernels/${id}`,
    sizeBytes: 1,
    features: { ...features, smp: many, seccomp: many },
    default: false,
    sharedLibraries: [],
  };
}
