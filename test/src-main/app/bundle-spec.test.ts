/** What of a stranger's machine.yaml becomes a machine here, and what does not. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { adoptSpec, type Here } from '../../../src-main/app/bundle-spec.ts';

const disks = [{ id: 'root' }, { id: 'data1' }];
const here: Here = {
  id: 'aabbccdd',
  reservedTags: ['throw-away'],
  hasNetwork: (name) => name === 'lab',
  makeNic(id, network, slot) {
    return { id: `nic${slot}`, slot, network, mac: `52:${id.slice(0, 2)}:00:00:00:0${slot}` };
  },
}; // prettier-ignore
const given = `# Web server of the club
id: '01234567'
cpus: 2 # enough
memory: 512MiB
image: debian-12
rootPartition: 1
kernel: lean-7.2
commandLine: ubd7=/home/you/.ssh/id_ed25519
confinement: off
disks:
  - { id: root, image: debian-12, file: root.cow }
  - { id: data1, size: 64MiB, file: data1.raw, attached: false }
nics:
  - { id: nic0, slot: 0, network: lab, mac: '52:01:23:45:67:00' }
  - { id: nic1, slot: 1, network: office, mac: '52:01:23:45:67:01' }
tags: [club, throw-away]
notes: Ask Ada.
`.replace('confinement: off', "confinement: 'off'");

suite('the machine.yaml of a bundle', () => {
  const { text, spec, leftOut } = adoptSpec(given, disks, here);

  test('keeps what the machine is, with its owner’s comments', () => {
    assert.deepEqual([spec.cpus, spec.memory, spec.rootPartition], [2, 2 ** 29, 1]);
    assert.deepEqual([spec.notes, spec.tags], ['Ask Ada.', ['club']]);
    assert.match(text, /^# Web server of the club/);
    assert.match(text, /cpus: 2 # enough/);
  });

  test('has its disks whole, and no image', () => {
    assert.equal(spec.image, undefined);
    assert.deepEqual(spec.disks, [
      { id: 'root', file: 'root.raw', attached: true },
      { id: 'data1', file: 'data1.raw', attached: false },
    ]);
  });

  test('gets an id and cards of its own, on LANs that are here', () => {
    assert.equal(spec.id, 'aabbccdd');
    const nic = { id: 'nic0', slot: 0, network: 'lab', mac: '52:aa:00:00:00:00' };
    assert.deepEqual(spec.nics, [nic]);
  });

  test('is confined and brings no words for the kernel, which is said', () => {
    assert.deepEqual([spec.confinement, spec.commandLine, spec.kernel], ['on', '', 'auto']);
    assert.doesNotMatch(text, /ssh/);
    assert.equal(leftOut.length, 4);
    assert.match(leftOut.join('\n'), /compartment(.|\n)*id_ed25519(.|\n)*lean-7.2(.|\n)*“office”/);
  });

  test('of a plain machine is taken over without a word', () => {
    const plain = "id: '01234567'\ndisks: [{ id: root, image: tiny, file: root.cow }]\n";
    const adopted = adoptSpec(plain, [{ id: 'root' }], here);
    assert.deepEqual(adopted.leftOut, []);
    assert.equal(adopted.spec.disks[0]!.file, 'root.raw');
  });
});

suite('refused is', () => {
  const refusals: [string, string, RegExp][] = [
    ['a text that is no machine’s', 'hello', /list of keys/],
    ['an unknown key', "id: '01234567'\nshell: /bin/sh\n", /no key “shell”/],
    ['a broken text', 'id: [', /machine\.yaml line/],
    ['other disks than the bundle has', "id: '01234567'\ndisks: []\n", /not those of/],
    ['a flood of aliases',
      `id: '01234567'\na: &a [x, x]\n${'b: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n'}`,
      /aliases|no key/],
  ]; // prettier-ignore
  for (const [what, text, message] of refusals) {
    test(what, () => {
      assert.throws(() => adoptSpec(text, disks, here), { code: 'bad-input', message });
    });
  }

  test('a text that falls apart when something is left out of it', () => {
    const tied = `id: '01234567'\ncommandLine: &x quiet\nnotes: *x\n` +
      'disks: [{ id: root, file: a }, { id: data1, file: b }]\n';
    assert.throws(() => adoptSpec(tied, disks, here), { code: 'bad-input' });
  });
});
