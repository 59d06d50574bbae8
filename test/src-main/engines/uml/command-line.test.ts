/** The exact line a kernel is started with, and the descriptors it inherits. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import {
  commandLine,
  diskArgument,
  nicArgument,
  rootDevice,
} from '../../../../src-main/engines/uml/command-line.ts';
import { layoutDescriptors } from '../../../../src-main/machine/descriptors.ts';
import { planOf } from './plan.ts';

suite('the descriptors', () => {
  test('begin after the standard three and leave no gap and no overlap', () => {
    for (const consoles of [1, 2, 8]) {
      const layout = layoutDescriptors(consoles);
      const all = [
        ...layout.consoles.flatMap(({ input, output }) => [input, output]),
        layout.agent.input,
        layout.agent.output,
        ...layout.nics.flatMap(({ near, far }) => [near, far]),
      ];
      assert.deepEqual(
        all,
        Array.from({ length: all.length }, (_, index) => index + 3),
      );
      assert.equal(layout.count, all.length + 3);
      assert.equal(layout.consoles.length, consoles);
      assert.equal(layout.nics.length, 4);
    }
  });
});

suite('the command line', () => {
  const line = (changes: Parameters<typeof planOf>[0] = {}) => {
    const plan = planOf(changes);
    return commandLine(plan, layoutDescriptors(plan.spec.consoles));
  };

  test('of a plain machine, word for word', () => {
    assert.deepEqual(line(), [
      'mem=256M',
      'umid=m',
      'uml_dir=/run/nymph/0a1b2c3d/',
      'initrd=/built/boot.cpio',
      'ubd0=/machines/web/disks/root.cow,/images/tiny/disk.raw',
      'con=null',
      'ssl=null',
      'con0=fd:3,fd:4',
      'con1=fd:5,fd:6',
      'ssl7=fd:7,fd:8',
      'lpj=5000000',
      'console=tty0',
      'quiet',
      'nymph.root=/dev/ubda',
      'nymph.rootfs=ext4',
      'nymph.agent=/dev/ttyS7',
      'nymph.hostname=web',
    ]);
  });

  test('gives memory in whole MiB, rounded down', () => {
    assert.equal(line({ spec: { memory: '100000KiB' } })[0], 'mem=97M');
  });

  test('names the processors only when there are several, and seccomp only when chosen', () => {
    assert.ok(!line().some((word) => /^(ncpus|seccomp)=/.test(word)));
    const words = line({ spec: { cpus: 4 }, kernel: { seccomp: true } });
    assert.ok(words.includes('ncpus=4') && words.includes('seccomp=on'));
  });

  test('plugs each card into the near end of its slot', () => {
    const nics = [{ id: 'a', slot: 2, network: 'lan', mac: '52:00:00:00:00:01' }];
    const words = line({ spec: { nics } });
    const near = layoutDescriptors(2).nics[2]!.near;
    assert.ok(words.includes(nicArgument(2, near, '52:00:00:00:00:01')));
    assert.equal(
      nicArgument(2, 13, '52:00:00:00:00:01'),
      'vec2:transport=fd,fd=13,depth=64,vec=1,mac=52:00:00:00:00:01',
    );
  });

  test('ends with the owner’s own words, so that they win', () => {
    const words = line({ spec: { commandLine: '  debug   loglevel=7 ', init: '/bin/sh' } });
    assert.deepEqual(words.slice(-3), ['nymph.init=/bin/sh', 'debug', 'loglevel=7']);
  });

  test('mounts the partition the image has its root on', () => {
    assert.equal(rootDevice(0), '/dev/ubda');
    assert.equal(rootDevice(3), '/dev/ubda3');
    assert.ok(line({ spec: { rootPartition: 2 } }).includes('nymph.root=/dev/ubda2'));
  });
});

suite('a disk on the command line', () => {
  test('is direct when it is plain, and an overlay names what is below it', () => {
    assert.equal(diskArgument({ id: 'a', index: 1, path: '/d/a.raw' }), 'ubd1d=/d/a.raw');
    assert.equal(
      diskArgument({ id: 'a', index: 0, path: '/d/a.cow', backing: '/i/b.raw' }),
      'ubd0=/d/a.cow,/i/b.raw',
    );
  });

  test('has a path that cannot be taken for something else', () => {
    for (const path of ['/a b', '/a,b', '/a:b', 'relative', '/a\nb']) {
      assert.throws(() => diskArgument({ id: 'a', index: 0, path }), /invariant/, path);
      assert.throws(
        () => diskArgument({ id: 'a', index: 0, path: '/a', backing: path }),
        /invariant/,
      );
    }
    assert.throws(() => diskArgument({ id: 'a', index: 16, path: '/a' }), /invariant/);
  });
});
