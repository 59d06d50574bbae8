/** A folder of the host in the hands of a guest that does as it likes: it reaches that folder. */
import { suite, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync,
  statSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type, type Writer } from '../../../../../src-main/engines/riscv/devices/nine-p/message.ts';
import { errno, NinePServer } from '../../../../../src-main/engines/riscv/devices/nine-p/server.ts';
import { hostFolder } from '../../../../../src-main/engines/riscv/node/host-folder.ts';
import { Talk } from '../devices/nine-p/talk.ts';

const linkLoop = 40;
const notPermitted = 1;
const writing = 2;
const removeDirectory = 0x200;

function folder(t: TestContext, readOnly = false) {
  const around = realpathSync(mkdtempSync(join(tmpdir(), 'share-')));
  t.after(() => rmSync(around, { recursive: true, force: true }));
  const path = join(around, 'shared');
  mkdirSync(join(path, 'sub'), { recursive: true });
  writeFileSync(join(path, 'note'), 'shared');
  writeFileSync(join(around, 'secret'), 'secret');
  const talk = new Talk(new NinePServer(hostFolder(path, readOnly)));
  t.after(() => talk.server.close());
  return { around, path, talk };
}

const held = () => readdirSync('/proc/self/fd').length;

suite('a shared folder', () => {
  test('is listed, read, written; what the guest makes is the owner’s', (t) => {
    const { path, talk } = folder(t);
    talk.walk(0, 1);
    talk.open(1);
    assert.deepEqual(talk.names(1), ['.', '..', 'note', 'sub']);
    talk.walk(0, 2, 'note');
    talk.open(2);
    assert.equal(talk.read(2), 'shared');
    talk.walk(0, 3, 'sub');
    talk.ask(type.lcreate, (to) => to.u32(3).text('made').u32(writing).u32(0o6755).u32(0));
    talk.write(3, 'by the guest');
    assert.equal(readFileSync(join(path, 'sub/made'), 'utf8'), 'by the guest');
    assert.equal(statSync(join(path, 'sub/made')).mode & 0o7000, 0, 'never setuid');
  });

  test('is as large as it is: long files, both ways, and many names', (t) => {
    const { path, talk } = folder(t);
    const long = 'a line of the file\n'.repeat(4000);
    writeFileSync(join(path, 'long'), long);
    talk.walk(0, 1, 'long');
    talk.open(1);
    assert.equal(talk.read(1, 0n, long.length), long);
    talk.ask(type.lcreate, (to) => to.u32(0).text('made').u32(writing).u32(0o644).u32(0));
    talk.write(0, long);
    assert.equal(readFileSync(join(path, 'made'), 'utf8'), long);
    const many = Array.from({ length: 200 }, (_, n) => `a-name-of-some-length-${100 + n}`);
    for (const name of many) writeFileSync(join(path, 'sub', name), '');
    talk.ask(type.attach, (to) => to.u32(2).u32(0xffffffff).text('root').text('').u32(0));
    talk.walk(2, 3, 'sub');
    talk.open(3);
    assert.deepEqual(talk.names(3).slice(2), many);
  });

  test('takes directories, links, new names, sizes; and loses them again', (t) => {
    const { path, talk } = folder(t);
    talk.ask(type.mkdir, (to) => to.u32(0).text('dir').u32(0o755).u32(0));
    talk.ask(type.symlink, (to) => to.u32(0).text('link').text('note').u32(0));
    talk.walk(0, 1, 'link');
    assert.equal(talk.ask(type.readlink, (to) => to.u32(1)).text(), 'note');
    talk.walk(0, 2, 'dir');
    talk.ask(type.renameat, (to) => to.u32(0).text('note').u32(2).text('moved'));
    talk.walk(2, 3, 'moved');
    talk.ask(type.setattr, (to) => {
      to.u32(3).u32(8).u32(0).u32(0).u32(0).u64(3n).u64(0n).u64(0n).u64(0n).u64(0n);
    });
    assert.equal(readFileSync(join(path, 'dir/moved'), 'utf8'), 'sha');
    talk.ask(type.link, (to) => to.u32(0).u32(3).text('again'));
    talk.ask(type.unlinkat, (to) => to.u32(2).text('moved').u32(0));
    talk.ask(type.unlinkat, (to) => to.u32(0).text('dir').u32(removeDirectory));
    assert.deepEqual(readdirSync(path).sort(), ['again', 'link', 'sub']);
  });

  test('that is shared for reading changes by nothing', (t) => {
    const { path, talk } = folder(t, true);
    talk.walk(0, 1, 'note');
    assert.equal(talk.open(1, writing), errno.readOnly);
    const makes = talk.try(type.mkdir, (to) => to.u32(0).text('x').u32(0o755).u32(0));
    assert.equal(makes, errno.readOnly);
    talk.open(1);
    assert.equal(talk.write(1, 'x'), errno.readOnly);
    assert.deepEqual(readdirSync(path).sort(), ['note', 'sub']);
  });
});

suite('a machine that is saved', () => {
  test('goes on with what it held open, but for what is gone', (t) => {
    const { path, talk } = folder(t);
    talk.walk(0, 1, 'note');
    talk.open(1);
    talk.walk(0, 2, 'sub');
    talk.open(2);
    talk.walk(0, 3, 'sub');
    const saved = JSON.parse(JSON.stringify(talk.server.save())) as unknown;
    rmSync(join(path, 'sub'), { recursive: true });
    const again = new NinePServer(hostFolder(path, true));
    again.restore(saved);
    t.after(() => again.close());
    talk.server.close();
    const resumed = new Talk(again, { anew: false });
    assert.equal(resumed.read(1), 'shared');
    assert.equal(resumed.walk(3, 4), errno.badFid);
  });

  test('is refused when what was saved is nonsense', (t) => {
    const { talk } = folder(t);
    const fid = { fid: 1, names: [], open: null };
    const wrong = [null, 7, [7], [{ fid: -1, names: [] }], [{ ...fid, names: 1 }], [fid, fid]];
    for (const saved of wrong) {
      assert.throws(() => talk.server.restore(saved), { code: 'bad-input' });
    }
    talk.server.restore([{ ...fid, names: ['..', 'secret'] }]);
    assert.equal(talk.walk(1, 2), errno.badFid);
  });
});

suite('a hostile guest', () => {
  test('does not leave the folder by names', (t) => {
    const { talk } = folder(t);
    assert.deepEqual(talk.walk(0, 1, '..', '..', 'note'), { walked: 3 }, 'its top is its own');
    for (const name of ['../secret', '/etc/passwd', 'sub/../../secret', '.', '', 'a\0b']) {
      assert.equal(talk.walk(0, 2, name), errno.invalid, name);
      const made = talk.try(type.mkdir, (to) => to.u32(0).text(name).u32(0o755).u32(0));
      assert.equal(made, errno.invalid, name);
    }
  });

  test('nor by links, wherever they point', (t) => {
    const { around, path, talk } = folder(t);
    symlinkSync(join(around, 'secret'), join(path, 'out'));
    symlinkSync('..', join(path, 'up'));
    talk.walk(0, 1, 'out');
    assert.ok([notPermitted, linkLoop].includes(Number(talk.open(1))));
    assert.deepEqual(talk.walk(0, 2, 'up', 'secret'), { walked: 1 }, 'a link is no directory');
    talk.ask(type.symlink, (to) => to.u32(0).text('mine').text('/etc').u32(0));
    assert.deepEqual(talk.walk(0, 3, 'mine', 'passwd'), { walked: 1 });
    const create = (to: Writer) => to.u32(0).text('out').u32(writing).u32(0o644).u32(0);
    const made = talk.try(type.lcreate, create);
    assert.equal(made, errno.exists, 'not written through');
    assert.equal(readFileSync(join(around, 'secret'), 'utf8'), 'secret');
  });

  test('nor when a directory becomes a link while it is held', (t) => {
    const { around, path, talk } = folder(t);
    talk.walk(0, 1, 'sub');
    renameSync(join(path, 'sub'), join(path, 'was'));
    symlinkSync(around, join(path, 'sub'));
    assert.equal(talk.walk(1, 2, 'secret'), errno.noEntry, 'it is still the same directory');
  });

  test('opens no pipe and no device', (t) => {
    const { path, talk } = folder(t);
    execFileSync('mkfifo', [join(path, 'pipe')]);
    talk.walk(0, 1, 'pipe');
    assert.equal(talk.open(1), notPermitted);
  });

  test('holds what it may, and all is let go when it begins anew', (t) => {
    const { talk } = folder(t);
    const before = held();
    for (let n = 1; n < 4096; n++) talk.walk(0, n, 'note');
    assert.equal(talk.walk(0, 5000, 'note'), errno.fids);
    assert.equal(talk.walk(9999, 1), errno.badFid);
    talk.ask(type.version, (to) => to.u32(8192).text('9P2000.L'));
    assert.ok(held() < before + 2);
    assert.equal(talk.walk(0, 1), errno.badFid, 'nothing is attached');
  });

  test('is answered with an error for any bytes at all', (t) => {
    const { around, talk } = folder(t);
    let state = 12345;
    const chance = (below: number) => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let n = 0; n < 3000; n++) {
      const bytes = Uint8Array.from({ length: chance(60) }, () => chance(256));
      if (bytes.length > 4) new DataView(bytes.buffer).setUint32(0, bytes.length, true);
      if (bytes.length > 6) bytes[4] = chance(128);
      if (bytes.length > 10) new DataView(bytes.buffer).setUint32(7, chance(4), true);
      assert.ok(talk.server.answer(bytes, 512).length <= 512);
    }
    assert.equal(readFileSync(join(around, 'secret'), 'utf8'), 'secret');
    assert.ok(existsSync(join(around, 'shared')));
  });
});
