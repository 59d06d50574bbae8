/** The scan that a tar must pass before anything unpacks it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { MemorySource } from '../../../src-main/disks/source.ts';
import { identifySystem } from '../../../src-main/disks/system.ts';
import { scanTar, type TarScan } from '../../../src-main/disks/tar.ts';
import { makeSystemTree, openRoom, type Room } from './inputs.ts';

let room: Room;
before(async () => {
  room = await openRoom();
  await makeSystemTree(room.file('tree'));
});
after(() => room.close());

interface Item { name: string; type?: string; link?: string; data?: string }

function tarOf(...items: Item[]): Uint8Array {
  const encoder = new TextEncoder();
  const blocks: Uint8Array[] = [];
  for (const { name, type = '0', link = '', data = '' } of items) {
    const head = new Uint8Array(512);
    const body = encoder.encode(data);
    head.set(encoder.encode(name), 0);
    head.set(encoder.encode('0000755\0'), 100);
    head.set(encoder.encode(`${body.length.toString(8).padStart(11, '0')}\0`), 124);
    head.set(encoder.encode(type), 156);
    head.set(encoder.encode(link), 157);
    head.set(encoder.encode('ustar\u000000'), 257);
    head.fill(32, 148, 156);
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.set(encoder.encode(`${sum.toString(8).padStart(6, '0')}\0`), 148);
    const padded = new Uint8Array(Math.ceil(body.length / 512) * 512);
    padded.set(body);
    blocks.push(head, padded);
  }
  return new Uint8Array(Buffer.concat([...blocks, new Uint8Array(1024)]));
}

const scan = (bytes: Uint8Array): Promise<TarScan> => scanTar(new MemorySource(bytes));

for (const format of ['gnu', 'pax', 'ustar', 'oldgnu', 'v7']) {
  test(`a tar in the format ${format} shows the system inside`, async () => {
    await room.run('tar', `--format=${format}`, '-C', 'tree', '-cf', 'tar', '.');
    const found = await scan(new Uint8Array(await readFile(room.file('tar'))));
    assert.equal(found.entries, 16);
    assert.deepEqual(await identifySystem(found.tree), {
      osName: 'Test Linux 1 (tiny)', osId: 'test', architecture: 'x86_64', init: '/sbin/init',
      hasSystemd: true,
    });
  });
}

test('names longer than a header are followed', async () => {
  const long = `${'d'.repeat(90)}/${'e'.repeat(90)}/${'f'.repeat(90)}/init`;
  for (const format of ['gnu', 'pax']) {
    await room.run('sh', '-c', `mkdir -p "l/$(dirname ${long})" && echo x > l/${long}`);
    await room.run('tar', `--format=${format}`, '-C', 'l', '-cf', 'long', '.');
    const { tree } = await scan(new Uint8Array(await readFile(room.file('long'))));
    assert.equal((await tree.stat(`/${long}`))?.sizeBytes, 2);
  }
});

test('a sparse file does not lead the scan astray', async () => {
  await room.run('sh', '-c', 'mkdir -p s; for i in 1 2 3 4 5 6 7 8 9; do ' +
    'printf x | dd of=s/holes bs=1 seek=$((i*1000000)) conv=notrunc status=none; done; ' +
    'echo y > s/init');
  for (const format of ['gnu', 'pax']) {
    await room.run('tar', '-S', `--format=${format}`, '-C', 's', '-cf', 'sparse', 'holes', 'init');
    const found = await scan(new Uint8Array(await readFile(room.file('sparse'))));
    assert.equal(found.entries, 2);
    assert.equal((await found.tree.stat('/init'))?.sizeBytes, 2);
  }
});

test('an entry that would land outside is refused', async () => {
  const escapes: [Item[], RegExp][] = [
    [[{ name: '/etc/passwd' }], /absolute name, "\/etc\/passwd"/],
    [[{ name: 'a/../../b' }], /leads outside/],
    [[{ name: 'a', type: '1', link: '../b' }], /leads outside/],
    [[{ name: 'a', type: '1', link: '/etc/shadow' }], /absolute name/],
    [[{ name: 'out', type: '2', link: '/tmp' }, { name: 'out/b' }], /passes through a symbolic/],
    [[{ name: 'd/out', type: '2', link: '../../x' }, { name: 'd/out/b' }], /passes through/],
    [[{ name: 'a', type: '2', link: 'b' }, { name: 'b', type: '2', link: '/tmp' },
      { name: 'a/c' }], /passes through/],
    [[{ name: 'a', type: '2', link: 'a' }, { name: 'a/c' }], /passes through/],
    [[{ name: 'out', type: '2', link: '/tmp' },
      { name: 'h', type: '1', link: 'out/x' }], /passes through/],
  ];
  for (const [items, sentence] of escapes) {
    await assert.rejects(scan(tarOf(...items)), { code: 'bad-input', message: sentence });
  }
});

test('links that stay inside are allowed, and absolute ones with nothing behind them', async () => {
  const found = await scan(tarOf(
    { name: 'bin', type: '2', link: 'usr/bin' }, { name: 'bin/sh', data: 'x' },
    { name: 'etc/mtab', type: '2', link: '/proc/mounts' },
  ));
  assert.equal(found.entries, 3);
});

test('a damaged or cut-off archive is refused', async () => {
  const good = tarOf({ name: 'init', data: 'x'.repeat(2000) }, { name: 'b' });
  await assert.rejects(scan(good.subarray(0, 1500)), { code: 'bad-input', message: /cut off/ });
  const wrong = good.slice();
  wrong[512 + 2048 + 5]! ^= 1;
  await assert.rejects(scan(wrong), { code: 'bad-input', message: /checksum/ });
  await assert.rejects(scan(new Uint8Array(1024)), { code: 'bad-input', message: /empty/ });
});

test('a container image in layers is named and refused', async () => {
  await assert.rejects(scan(tarOf({ name: 'manifest.json', data: '[]' })),
    { code: 'unsupported', message: /docker export/ });
});
