/** Machine bundles: packed and unpacked to the same disks, by us and by tar, and hostile ones. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { after, before, beforeEach, suite, test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import {
  BundleDigests, manifestText, pieceBytes, pieceName, tarEnd, tarEntry, type BundleHead,
} from '../../../../src-main/disks/bundle.ts';
import { runAside } from '../../../../src-main/disks/node/aside.ts';
import {
  packBundle, readBundleHead, unpackBundle,
} from '../../../../src-main/disks/node/bundle.ts';
import { realHost } from '../../../../src-main/disks/node/new-file.ts';
import { createOverlay } from '../../../../src-main/disks/node/overlay.ts';
import { cowLayout } from '../../../../src-main/machine/cow.ts';
import { assertSame, mixedBytes, openRoom, type Room } from '../inputs.ts';

const text = 'id: 01234567\n# mine\n';
let room: Room;
let directory: string;
let merged: Uint8Array;

/** A sparse raw disk, and an overlay with some sectors of its own over an image. */
before(async () => {
  room = await openRoom();
  await writeFile(room.file('data.raw'), mixedBytes(300_000, 4));
  await truncate(room.file('data.raw'), 50 * pieceBytes + 512 * 3);
  const image = mixedBytes(5 * pieceBytes + 1024, 5);
  image.fill(0, pieceBytes, 3 * pieceBytes);
  await writeFile(room.file('image'), image);
  await createOverlay(room.file('root.cow'), room.file('image'));
  merged = image.slice();
  const layout = cowLayout(image.length);
  const overlay = await open(room.file('root.cow'), 'r+');
  for (const [sector, count] of [[0, 1], [7, 2], [2047, 3], [3000, 40], [10_241, 1]] as const) {
    const own = mixedBytes(count * 512, sector);
    merged.set(own, sector * 512);
    await overlay.write(own, 0, own.length, layout.dataAt + sector * 512);
    for (let at = sector; at < sector + count; at++) {
      const byte = Buffer.alloc(1);
      await overlay.read(byte, 0, 1, layout.bitmapAt + (at >> 3));
      byte[0]! |= 1 << (at & 7);
      await overlay.write(byte, 0, 1, layout.bitmapAt + (at >> 3));
    }
  }
  await overlay.close();
});
beforeEach(async () => {
  directory = room.file('out');
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
});
after(() => room.close());

const packing = () => ({
  directory, name: 'web.nymph', machineName: 'web', machineText: text,
  disks: [
    { id: 'root', path: room.file('root.cow'), backing: room.file('image') },
    { id: 'data1', path: room.file('data.raw') },
  ],
});
const bundle = () => `${directory}/web.nymph`;

async function unpack(path = bundle(), more: object = {}): Promise<BundleHead> {
  const head = await readBundleHead(path);
  assert.ok(head, 'it is a bundle');
  await unpackBundle({ path, directory, head, ...more });
  return head;
}

suite('a bundle', () => {
  test('gives back the machine and its disks, whole and sparse', async () => {
    const bytes = await packBundle(packing());
    assert.equal((await stat(bundle())).size, bytes);
    assert.equal((await stat(bundle())).mode & 0o777, 0o600);
    const { manifest, machineText } = await unpack();
    assert.equal(machineText, text);
    assert.equal(manifest.name, 'web');
    assertSame(new Uint8Array(await readFile(`${directory}/root.raw`)), merged);
    const data = await readFile(`${directory}/data1.raw`);
    assertSame(new Uint8Array(data), new Uint8Array(await readFile(room.file('data.raw'))));
    assert.ok((await stat(`${directory}/data1.raw`)).blocks * 512 < 2 * pieceBytes);
    assert.deepEqual((await readdir(directory)).sort(), ['data1.raw', 'root.raw', 'web.nymph']);
  });

  test('is a tar that others can read, with digests that they can check', async () => {
    await packBundle(packing());
    await room.run('sh', '-c', 'cd out && zstd -qdc web.nymph | tar -x');
    const pieces = (await readdir(`${directory}/disks/root`)).sort();
    const digest = createHash('sha256');
    const made = new Uint8Array(merged.length);
    for (const name of pieces) {
      const piece = await readFile(`${directory}/disks/root/${name}`);
      digest.update(Buffer.from(name, 'hex')).update(piece);
      made.set(piece, parseInt(name, 16));
    }
    assertSame(made, merged);
    const digests = JSON.parse(await readFile(`${directory}/digests.json`, 'utf8')) as object;
    const yaml = createHash('sha256').update(text).digest('hex');
    assert.deepEqual([digests['disks/root' as never], digests['machine.yaml' as never]],
      [digest.digest('hex'), yaml]);
  });

  test('is packed and unpacked aside, with progress', async () => {
    const steps = new Set<string>();
    const onProgress = (_done: number, _total: number | undefined, step: string) => steps.add(step);
    await runAside('pack', packing(), { onProgress });
    const head = (await readBundleHead(bundle()))!;
    await runAside('unpack', { path: bundle(), directory, head }, { onProgress });
    assertSame(new Uint8Array(await readFile(`${directory}/root.raw`)), merged);
    assert.deepEqual([...steps], ['packing', 'unpacking']);
  });

  test('that is cancelled leaves nothing, packing or unpacking', async () => {
    const stop = () => {
      const abort = new AbortController();
      return { signal: abort.signal, onProgress: () => abort.abort() };
    };
    await assert.rejects(packBundle({ ...packing(), ...stop() }), { code: 'cancelled' });
    assert.deepEqual(await readdir(directory), []);
    await packBundle(packing());
    await assert.rejects(unpack(bundle(), stop()), { code: 'cancelled' });
    assert.deepEqual(await readdir(directory), ['web.nymph']);
  });

  test('never replaces a file, and leaves nothing when the disk becomes full', async () => {
    let writes = 0;
    const host = {
      ...realHost,
      writeAt: (...args: Parameters<typeof realHost.writeAt>): Promise<void> => {
        if (++writes < 2) return realHost.writeAt(...args);
        return Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
      },
    };
    await assert.rejects(packBundle({ ...packing(), host }), { code: 'no-space' });
    assert.deepEqual(await readdir(directory), []);
    await packBundle(packing());
    writes = 0;
    await assert.rejects(unpack(bundle(), { host }), { code: 'no-space' });
    assert.deepEqual(await readdir(directory), ['web.nymph']);
    await assert.rejects(packBundle(packing()), { code: 'exists' });
    await writeFile(`${directory}/data1.raw`, 'mine');
    await assert.rejects(unpack(), { code: 'exists' });
    assert.equal(await readFile(`${directory}/data1.raw`, 'utf8'), 'mine');
  });

  test('that is cut off or changed anywhere is refused, and leaves nothing', async () => {
    await packBundle(packing());
    const whole = await readFile(bundle());
    const head = (await readBundleHead(bundle()))!;
    for (const share of [0.2, 0.5, 0.8, 0.999]) {
      const at = Math.floor(whole.length * share);
      const flipped = Buffer.from(whole);
      flipped[at]! ^= 4;
      for (const bytes of [whole.subarray(0, at), flipped]) {
        await writeFile(bundle(), bytes);
        const unpacking = unpackBundle({ path: bundle(), directory, head });
        await assert.rejects(unpacking, { code: 'bad-input' }, `at ${share}`);
        assert.deepEqual(await readdir(directory), ['web.nymph']);
      }
    }
  });
});

suite('a file', () => {
  test('that is no bundle is told apart by its content', async () => {
    await room.run('sh', '-c', 'echo hello > text; zstd -q text; tar -cf a.tar text; ' +
      'zstd -q a.tar; head -c 90 a.tar.zst > cut.zst; echo "{}" > manifest.json; ' +
      'tar -c manifest.json | zstd -q > other.zst');
    for (const name of ['text', 'text.zst', 'a.tar.zst', 'cut.zst', 'other.zst', 'image']) {
      assert.equal(await readBundleHead(room.file(name)), undefined, name);
    }
  });
});

suite('a hostile bundle', () => {
  const disks = [{ id: 'root', bytes: 2 * pieceBytes }];
  const one = Buffer.alloc(pieceBytes, 1);
  const sha256 = () => createHash('sha256');
  type Entry = readonly [string, Uint8Array | string];

  /** A bundle of any entries, with digests that are right for its pieces. */
  function made(entries: readonly Entry[], manifest: unknown = { name: 'web', disks }): Buffer {
    const digests = new BundleDigests(sha256, disks);
    const said = manifestText(manifest as Parameters<typeof manifestText>[0]);
    const all = [['manifest.json', said], ['machine.yaml', text], ...entries] as const;
    const tar = all.flatMap(([name, data]) => {
      const bytes = Buffer.from(data);
      if (!name.startsWith('disks/')) digests.text(name, bytes);
      else if (/^disks\/root\/[0-9a-f]{16}$/.test(name)) {
        digests.piece('root', parseInt(name.slice(11), 16), bytes);
      }
      return tarEntry(name, bytes);
    });
    tar.push(...tarEntry('digests.json', Buffer.from(digests.toText())), tarEnd);
    return zstdCompressSync(Buffer.concat(tar));
  }

  const cases: [string, readonly Entry[], RegExp][] = [
    ['with a path upwards', [['disks/root/../../../x', one]], /does not belong/],
    ['with an absolute path', [['/etc/passwd', one]], /does not belong/],
    ['with another disk', [[pieceName('other', 0), one]], /out of order/],
    ['with a piece behind the end', [[pieceName('root', 2 * pieceBytes), one]], /wrong place/],
    ['with pieces in the wrong order',
      [[pieceName('root', pieceBytes), one], [pieceName('root', 0), one]], /wrong place/],
    ['with a piece twice', [[pieceName('root', 0), one], [pieceName('root', 0), one]],
      /wrong place/],
    ['with a crooked piece', [[pieceName('root', 5), one]], /wrong place/],
    ['with a short piece', [[pieceName('root', 0), one.subarray(5)]], /wrong place/],
    ['with an empty piece', [[pieceName('root', 0), Buffer.alloc(pieceBytes)]], /is empty/],
  ];
  for (const [what, entries, message] of cases) {
    test(`${what} is refused`, async () => {
      await writeFile(bundle(), made(entries));
      await assert.rejects(unpack(), { code: 'bad-input', message });
      assert.deepEqual(await readdir(directory), ['web.nymph']);
    });
  }

  test('with wrong digests, something behind its end, or a link is refused', async () => {
    const piece = tarEntry(pieceName('root', 0), one);
    const start = [...tarEntry('manifest.json', Buffer.from(manifestText({ name: 'w', disks }))),
      ...tarEntry('machine.yaml', Buffer.from(text))];
    const lie = tarEntry('digests.json', Buffer.from('{}'));
    const link = tarEntry(pieceName('root', 0), Buffer.alloc(0));
    link[0]![156] = 0x32;
    link[0]![153]! += 2;
    const cases: [Uint8Array[], RegExp][] = [
      [[...start, ...piece, ...lie, tarEnd], /not what was put in/],
      [[...start, ...link, ...lie, tarEnd], /no plain file/],
      [[...start, ...piece], /cut off/],
    ];
    for (const [parts, message] of cases) {
      await writeFile(bundle(), zstdCompressSync(Buffer.concat(parts)));
      await assert.rejects(unpack(), { code: 'bad-input', message });
    }
    const twice = Buffer.concat([made([]), zstdCompressSync(Buffer.from('more'))]);
    await writeFile(bundle(), twice);
    await assert.rejects(unpack(), { code: 'bad-input', message: /follows its end/ });
    assert.deepEqual(await readdir(directory), ['web.nymph']);
  });

  test('with an odd manifest is refused before anything is written', async () => {
    const manifests: [unknown, RegExp][] = [
      [{ name: 'web', disks: [] }, /one to 8 disks/],
      [{ name: 'web', disks: Array.from({ length: 9 }, () => disks[0]) }, /one to 8 disks/],
      [{ name: 'web', disks: [{ id: '../x', bytes: 512 }] }, /odd name/],
      [{ name: 'web', disks: [{ id: 'a', bytes: 513 }] }, /impossible size/],
      [{ name: 'web', disks: [{ id: 'a', bytes: 2 ** 50 }] }, /impossible size/],
      [{ name: 'web', disks: [disks[0], disks[0]] }, /there twice/],
      [{ name: 7, disks }, /lacks a name/],
      [{ disks, name: 'x'.repeat(70_000) }, /too long/],
    ];
    for (const [manifest, message] of manifests) {
      await writeFile(bundle(), made([], manifest));
      await assert.rejects(readBundleHead(bundle()), { code: 'bad-input', message });
    }
    const newer = manifestText({ name: 'web', disks }).replace('"version":1', '"version":2');
    await writeFile(bundle(), zstdCompressSync(Buffer.concat(
      [...tarEntry('manifest.json', Buffer.from(newer)), tarEnd])));
    await assert.rejects(readBundleHead(bundle()), { code: 'unsupported', message: /newer/ });
  });
});
